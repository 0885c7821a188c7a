"""No name that a configuration uses is also a module: Python 3.12 and later would hand MONAI the module."""

import pytest

from tests.bundles.workflows import BUNDLES, SHIPPED
from tests.names import dotted_names, modules_among


@pytest.mark.parametrize("bundle", SHIPPED)
def test_no_name_of_a_shipped_bundle_is_a_module(bundle):
    names = dotted_names(BUNDLES / bundle)
    assert {"monai_supmix.engines.SemiSupervisedTrainer", "monai_supmix.bundle.shard"} <= names
    assert modules_among(names) == []


def test_a_module_of_such_a_name_is_found():
    names = {"monai_supmix.data.streams", "monai_supmix.data.StreamLoader", "monai_supmix.data.StreamLoader.rewind"}
    assert modules_among(names) == ["monai_supmix.data.streams"]
