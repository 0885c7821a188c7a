"""The paper's own figures, to stand beside ours: IoU in %, of another split, network and protocol."""

from __future__ import annotations

METHODS = ("supervised", "fixmatch", "unimatch", "supmix_sufd")
"""The columns of Tables 1 and 2."""

LABELED = {
    "chase_supmix": {2: "1/8", 5: "1/4"},
    "covid19_ct_supmix": {6: "1/8", 9: "1/8", 12: "1/4", 18: "1/4"},
}
"""Which of the paper's settings a number of labelled images corresponds to."""

IOU: dict[str, dict[tuple[str, str], tuple[str, str, str, str]]] = {
    "chase_supmix": {
        ("1/8", "background"): ("74.62 ± 37.31", "95.60 ± 0.12", "96.41 ± 0.06", "96.58 ± 0.06"),
        ("1/8", "vessel"): ("1.86 ± 2.54", "38.54 ± 2.86", "55.61 ± 0.81", "58.91 ± 0.31"),
        ("1/8", "mean"): ("38.24 ± 17.51", "67.07 ± 1.49", "76.01 ± 0.43", "77.74 ± 0.18"),
        ("1/4", "background"): ("39.12 ± 44.57", "96.48 ± 0.05", "96.50 ± 0.02", "96.63 ± 0.03"),
        ("1/4", "vessel"): ("3.78 ± 3.09", "57.62 ± 0.60", "57.78 ± 0.35", "60.41 ± 0.20"),
        ("1/4", "mean"): ("21.45 ± 23.83", "77.05 ± 0.32", "77.14 ± 0.18", "78.52 ± 0.10"),
    },
    "covid19_ct_supmix": {
        ("1/8", "background"): ("96.26 ± 0.07", "95.57 ± 0.23", "96.65 ± 0.13", "96.72 ± 0.11"),
        ("1/8", "ground_glass"): ("25.11 ± 0.97", "33.52 ± 3.54", "26.55 ± 3.94", "37.25 ± 1.41"),
        ("1/8", "consolidation"): ("39.74 ± 2.32", "0", "49.12 ± 1.65", "50.86 ± 1.35"),
        ("1/8", "pleural_effusion"): ("0", "0", "0", "0"),
        ("1/8", "mean"): ("40.28 ± 0.78", "32.27 ± 0.87", "43.08 ± 0.75", "46.21 ± 0.60"),
        ("1/4", "background"): ("96.78 ± 0.12", "96.65 ± 0.08", "97.03 ± 0.05", "97.08 ± 0.07"),
        ("1/4", "ground_glass"): ("32.50 ± 2.84", "48.18 ± 1.06", "34.09 ± 1.21", "38.85 ± 1.85"),
        ("1/4", "consolidation"): ("45.12 ± 3.88", "0", "47.57 ± 1.45", "50.93 ± 1.14"),
        ("1/4", "pleural_effusion"): ("0", "0", "0", "0"),
        ("1/4", "mean"): ("43.60 ± 1.51", "36.21 ± 0.28", "44.67 ± 0.63", "46.71 ± 0.68"),
    },
}
"""Tables 1 and 2: by setting and class, one figure for each of `METHODS`."""

ABLATION_METHODS = ("unimatch", "classmix", "supmix", "sufd", "supmix_sufd")
"""The columns of the ablation; what it calls CutMix is UniMatch."""

ABLATION: dict[str, dict[tuple[str, str], tuple[str, str, str, str, str]]] = {
    "chase_supmix": {
        ("1/8", "vessel"): ("55.61", "56.78", "57.57", "55.95", "58.91"),
        ("1/4", "vessel"): ("57.78", "57.91", "59.60", "56.90", "60.41"),
    },
    "covid19_ct_supmix": {
        ("1/8", "ground_glass"): ("26.55", "27.95", "32.82", "33.36", "37.25"),
        ("1/4", "ground_glass"): ("34.09", "34.99", "38.10", "34.17", "38.85"),
    },
}
"""The ablation on the rare class."""
