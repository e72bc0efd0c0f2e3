"""What several tests of the core share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hbsim.core import make_scheduler
from tests.doubles.naive import make_naive


@pytest.fixture(params=["core", "double"])
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The real core, and the naive double: what the rules say holds for both."""
    return make_scheduler if request.param == "core" else make_naive
