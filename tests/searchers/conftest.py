"""What tests of searchers share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def full_models() -> None:
    """Have Gaussian processes be fitted as for users."""


@pytest.fixture
def coarse_models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Gaussian processes be fitted, and climbed, in few steps: a search goes on as well with them.

    Not in tests that ask for the fixture `full_models`.
    """
    pytest.importorskip("botorch", reason="needs BoTorch: the extra search")
    if "full_models" in request.fixturenames:
        return
    import hbsim.searchers.gp_model  # noqa: F401

    module = sys.modules["hbsim.searchers.gp_model"]
    monkeypatch.setattr(module, "FIT_ITERATIONS", 16)
    monkeypatch.setattr(module, "CLIMB_ITERATIONS", 4)
