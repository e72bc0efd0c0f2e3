"""What tests of searchers share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def coarse_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Gaussian processes be fitted, and climbed, in few steps: a search goes on as well with them."""
    pytest.importorskip("botorch", reason="needs BoTorch: the extra search")
    import hbsim.searchers.gp_model  # noqa: F401

    module = sys.modules["hbsim.searchers.gp_model"]
    monkeypatch.setattr(module, "FIT_ITERATIONS", 16)
    monkeypatch.setattr(module, "CLIMB_ITERATIONS", 4)
