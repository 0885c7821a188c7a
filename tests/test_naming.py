"""Plain names are different wherever names are, and keep what they may."""

import re

from hypothesis import given
from hypothesis import strategies as st

from monai_supmix.inferers.probability_maps import map_infixes
from monai_supmix.naming import casefolded, plain_names, safe_name

NAMES = st.lists(st.text("aA1 <>/_.-+", max_size=6), unique=True, max_size=6)


@given(names=NAMES, others=st.sampled_from([".-", "-"]))
def test_different_names_have_different_plain_names(names, others):
    plain = plain_names(names, others)
    assert len({name.casefold() for name in plain}) == len(names)
    assert all(re.fullmatch(r"[\w.-]*", name) for name in plain)
    assert all(new == old for new, old in zip(plain, names, strict=True) if re.fullmatch(r"1+", old))


@given(name=st.text("aA1 <>/_.-+", max_size=8))
def test_a_safe_name_is_safe_for_good_and_still_the_same_name(name):
    assert re.fullmatch(r"[\w.+-]*", safe_name(name)) and safe_name(safe_name(name)) == safe_name(name)
    assert casefolded(safe_name(name)) == casefolded(name) == casefolded(name.upper())


def test_probability_maps_of_classes_that_differ_in_a_sign_have_names_of_their_own():
    assert map_infixes(["background", "grade<2", "grade>2", "GGO", "ggo"]) == [
        *("_prob_grade_2.1", "_prob_grade_2.2"),
        *("_prob_GGO.3", "_prob_ggo.4"),
    ]
