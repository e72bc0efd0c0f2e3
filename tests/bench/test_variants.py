from __future__ import annotations

import pytest

from hbsim.bench import make_variants
from hbsim.errors import ParameterError

SHARED = {"max_t": 81, "grace_period": 1, "reduction_factor": 3, "num_trials": 10}


def labels(variants: list[str], vary: list[str]) -> list[str]:
    return [variant.label for variant in make_variants(variants, vary, SHARED)]


def test_values_have_types():
    (variant,) = make_variants(
        ["promotion,brackets=3,straight_on=false,reduction_factor=2.5,bracket_sampling=hyperband"], (), SHARED
    )
    assert variant.type == "promotion"
    assert variant.own == {
        "brackets": 3,
        "straight_on": False,
        "reduction_factor": 2.5,
        "bracket_sampling": "hyperband",
    }
    assert variant.label == (
        "promotion,brackets=3,straight_on=false,reduction_factor=2.5,bracket_sampling=hyperband"
    )


def test_shared_options_go_to_types_that_take_them():
    stopping, fifo = make_variants(["stopping,reduction_factor=4", "fifo"], (), SHARED)
    assert stopping.options == {"max_t": 81, "grace_period": 1, "reduction_factor": 4, "num_trials": 10}
    assert fifo.options == {"max_t": 81, "num_trials": 10}


def test_shared_options_that_are_none_are_not_given():
    (variant,) = make_variants(["stopping"], (), {"max_t": 81, "retries": None})
    assert variant.options == {"max_t": 81}


def test_vary_is_for_those_that_take_it_and_leave_it_open():
    assert labels(["stopping", "promotion,brackets=2", "fifo"], ["brackets=1,3"]) == [
        "stopping,brackets=1",
        "stopping,brackets=3",
        "promotion,brackets=2",
        "fifo",
    ]


def test_several_vary_combine():
    assert labels(["stopping", "hyperband"], ["brackets=1,3", "reduction_factor=2,4"]) == [
        "stopping,brackets=1,reduction_factor=2",
        "stopping,brackets=1,reduction_factor=4",
        "stopping,brackets=3,reduction_factor=2",
        "stopping,brackets=3,reduction_factor=4",
        "hyperband,reduction_factor=2",
        "hyperband,reduction_factor=4",
    ]


def test_a_label_can_be_given_again():
    (variant,) = make_variants([" promotion , brackets = 3"], (), SHARED)
    (again,) = make_variants([variant.label], (), SHARED)
    assert again == variant


@pytest.mark.parametrize(
    ("max_t", "eta", "n"), [(81, "3", 81), (80, "3", 27), (243, "3", 243), (9, "2.5", 7), (9, "10", 1)]
)
def test_sha_gets_eta_to_the_k(max_t: int, eta: str, n: int):
    (variant,) = make_variants([f"sha,reduction_factor={eta}"], (), {"max_t": max_t})
    assert variant.options["n"] == n
    assert f"n={n}" in variant.notes[0]


def test_sha_keeps_its_own_n():
    (variant,) = make_variants(["sha,n=5"], (), SHARED)
    assert variant.options["n"] == 5
    assert variant.notes == ()


def test_clipped_brackets_may_stand_beside_what_they_are_clipped_to():
    assert labels(["stopping"], ["brackets=5,6"]) == ["stopping,brackets=5", "stopping,brackets=6"]


@pytest.mark.parametrize(
    ("variants", "vary", "field", "words"),
    [
        ([], [], "variant", "at least one"),
        (["stoping"], [], "variant", "Did you mean 'stopping'?"),
        ([""], [], "variant", "must start with a type"),
        (["stopping,bracket=3"], [], "variant", "Did you mean 'brackets'?"),
        (["fifo,brackets=3"], [], "variant", "'brackets' is no option of type 'fifo'"),
        (["stopping,brackets"], [], "variant", "must be OPTION=VALUE"),
        (["stopping,brackets="], [], "variant", "must be OPTION=VALUE"),
        (["stopping,brackets=1,brackets=2"], [], "variant", "must not be given twice"),
        (["stopping,brackets=0"], [], "variant", "brackets must be a whole number of at least 1"),
        (["stopping,brackets=two"], [], "variant", "brackets must be"),
        (["stopping,rule=quantil"], [], "variant", "Did you mean 'quantile'?"),
        (["stopping,mode=max"], [], "variant", "is the surrogate's"),
        (["stopping,seed=3"], [], "variant", "the same for all variants"),
        (["stopping,max_t=9"], [], "variant", "must be the same for all variants"),
        (["stopping", "stopping"], [], "variant", "give each variant once"),
        (["stopping", "stopping,brackets=1"], [], "variant", "same options as stopping"),
        (["stopping"], ["bracket=1,3"], "vary", "Did you mean 'brackets'?"),
        (["stopping"], ["brackets"], "vary", "OPTION=VALUE,VALUE"),
        (["stopping"], ["brackets=1,,2"], "vary", "OPTION=VALUE,VALUE"),
        (["stopping"], ["brackets=1,1"], "vary", "a value must not be given twice"),
        (["stopping"], ["brackets=1", "brackets=2"], "vary", "brackets must not be given twice"),
        (["stopping"], ["seed=1,2"], "vary", "the same for all variants"),
        (["fifo"], ["brackets=1,2"], "vary", "no variant takes brackets"),
        (["stopping,brackets=3"], ["brackets=1,2"], "vary", "leaves it open"),
        (["stopping"], ["reduction_factor=2,1"], "variant", "reduction_factor must be greater than 1"),
    ],
)
def test_what_is_wrong_is_named(variants: list[str], vary: list[str], field: str, words: str):
    if "reduction_factor=2,1" in vary:  # seen when levels are made
        with pytest.raises(ParameterError) as caught:
            [v.make("min", 0) for v in make_variants(variants, vary, SHARED)]
    else:
        with pytest.raises(ParameterError) as caught:
            make_variants(variants, vary, SHARED)
    assert caught.value.field == field
    assert words in caught.value.rule


def test_a_wrong_shared_option_keeps_its_name():
    with pytest.raises(ParameterError) as caught:
        make_variants(["stopping"], (), {"max_t": 9, "grace_period": "x"})
    assert caught.value.field == "grace_period"
