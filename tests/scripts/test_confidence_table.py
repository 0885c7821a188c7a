"""The table that tells how well confidence foretells Dice."""

import confidence_table
import numpy as np

from monai_supmix.bundle.quality import write_quality
from monai_supmix.metrics import Calibration, CaseMeasures, write_cases_csv

NAMES = ["background", "a", "b"]


def test_the_table_of_cases_in_which_confidence_tells_all(tmp_path, capsys):
    cases = {}
    for number in range(20):  # the Dice of class a from 0.5 on, of class b always 0.95
        right = 500 + 25 * number
        counts = np.array([[9000, 0, 0], [right, 1000 - right, 1000 - right], [950, 50, 50]])
        cases[f"p{number // 2}_{number}"] = CaseMeasures(counts, confidence=(None, 0.5 + right / 2000, 0.975))
    cases["p9_empty"] = CaseMeasures(np.array([[9000, 0, 7], [0, 0, 7], [0, 0, 0]]), confidence=(None, None, None))
    (tmp_path / "run").mkdir()
    write_cases_csv(tmp_path / "run" / "cases.csv", cases, NAMES)
    confidence_table.main([str(tmp_path / "run" / "cases.csv"), "--group", "(p[0-9])", "--patients", "4", "1"])
    _, _, *rows = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    # 40 values; Dice 0.5 to 0.575 are bad, and lowest in confidence
    assert cells[0] == ["run", "40", "0.844", "1.00", "4", "4", "4", "0.00", "1.00", "0.00"]
    assert cells[1][6:] == ["1", "", "", ""], "four values are too few to learn from"

    quality = write_quality(
        tmp_path, {"content_sha256": ""}, Calibration(slope=2.0, intercept=-1.0, margin=0.01, values=9)
    )
    confidence_table.main([str(tmp_path / "run" / "cases.csv"), "--patients", "4", "--quality", str(quality)])
    *_, row, flagged = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in row.split("|")[7:11]] == ["folds", "0.00", "1.00", "0.01"]
    assert flagged == "flagged by quality.json: 8 values, 4 of the 4 bad ones"
