"""The declaration of a scheduler's options, and the signature that repeats it."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.core.options import TYPES, Options
from hbsim.errors import ParameterError
from hbsim.options import declared

DECLARED = declared(Options)


def test_the_signature_is_the_declaration() -> None:
    signature = inspect.signature(make_scheduler)
    assert set(signature.parameters) == set(DECLARED)
    hints = typing.get_type_hints(inspect.unwrap(make_scheduler))
    for name, option in DECLARED.items():
        literals = [one for one in typing.get_args(hints[name]) if typing.get_origin(one) is typing.Literal]
        words = typing.get_args(literals[0]) if literals else ()
        assert words == (() if name == "type" else option.choices), name


def test_every_option_is_of_a_type_and_is_explained() -> None:
    assert {name for names in TYPES.values() for name in names} == set(DECLARED) - {"type"}
    assert DECLARED["type"].choices == tuple(TYPES)
    documented = inspect.getdoc(make_scheduler) or ""
    for name, option in DECLARED.items():
        assert option.help.endswith(".")
        assert f"\n{name} : " in documented


@pytest.mark.parametrize(
    ("name", "right"),
    [("eta", "reduction_factor"), ("trials", "num_trials")],
)
def test_a_word_from_elsewhere_is_answered_with_the_right_one(name: str, right: str) -> None:
    options: Any = {"max_t": 27, name: 3}
    with pytest.raises(ParameterError, match=f"^{name}=3: is called {right}$"):
        hbsim.make_scheduler("stopping", **options)
