"""Search spaces for tests of searchers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hbsim.core.space import Bool, Choice, Int, Real, Space

SPACE = Space({"lr": Real(1e-3, 1.0, log=True), "depth": Int(1, 3), "act": Choice("a", "b"), "flag": Bool()})


def few_a(configuration: Any) -> bool:
    """Allow about a quarter of SPACE."""
    return bool(configuration["act"] == "a" and configuration["lr"] < 0.03)


def never(configuration: Any) -> bool:
    return False


@st.composite
def ranges(draw: Any) -> Any:
    low = draw(st.integers(1, 50))
    high = low + draw(st.integers(1, 200))
    kind = draw(st.sampled_from([Real, Int]))
    return kind(low, high, log=draw(st.booleans()))


PARAMETERS = st.one_of(ranges(), st.just(Bool()), st.integers(1, 4).map(lambda n: Choice(list("abcd")[:n])))
SPACES = st.lists(PARAMETERS, min_size=1, max_size=4).map(
    lambda found: Space({f"p{i}": parameter for i, parameter in enumerate(found)})
)
