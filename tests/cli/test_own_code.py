"""A method file of one's own: its code is found on Python's path, and its handlers come beside the bundle's."""

import json

from monai_supmix.cli.workflow import configure

CODE = '''
from monai_supmix.transforms import RegionMix


class BrightMix(RegionMix):
    """Paste what is bright."""

    def region(self, label, image):
        return image.mean(dim=1, keepdim=True) > 0.5


class SaveEveryHour:
    """Knows where the run writes."""

    def __init__(self, output_dir):
        self.output_dir = output_dir
'''


def test_code_on_the_path_and_handlers_beside_the_bundles_own(tmp_path, monkeypatch):
    (tmp_path / "supmix_test_own_code.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = {
        "method": "mine",
        "mixing": {"_target_": "supmix_test_own_code.BrightMix", "prob": 1.0},
        "+train#handlers": [{"_target_": "supmix_test_own_code.SaveEveryHour", "output_dir": "@output_dir"}],
    }
    (tmp_path / "mine.json").write_text(json.dumps(mine), encoding="utf-8")
    parser = configure("chase_supmix", ["train", str(tmp_path / "mine.json")], {"output_dir": "here"}).parser()
    assert [handler["_target_"] for handler in parser["train"]["handlers"]] == [
        "ValidationHandler",
        "supmix_test_own_code.SaveEveryHour",
    ]
    assert parser.get_parsed_content("train#handlers#1").output_dir == "here"
    assert type(parser.get_parsed_content("mixing")).__name__ == "BrightMix"
    assert parser["method"] == "mine"
