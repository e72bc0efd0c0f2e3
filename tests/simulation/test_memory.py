"""A study leaves nothing behind that only the garbage collector could find."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.simulation.engine import Engine

SHARED: dict[str, Any] = {"checkpoint_size": 1.0, "store_bandwidth": 2.0, "mtbf": 50.0}


@pytest.mark.parametrize("parts", [{}, SHARED], ids=["plain", "store"])
def test_an_engine_goes_with_its_study(parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies are run by the thousand in one process, and the collector is off meanwhile."""
    engines = []
    close = Engine.close
    monkeypatch.setattr(Engine, "close", lambda self: (engines.append(weakref.ref(self)), close(self))[1])
    gc.collect()
    gc.disable()
    try:
        cluster = hbsim.Cluster(workers=3, **parts)
        hbsim.simulate(
            make_scheduler("promotion", max_t=9, num_trials=30, retries=9),
            "ideal:max_resource=9",
            cluster=cluster,
        )
        assert len(engines) == 1
        assert engines[0]() is None
    finally:
        gc.enable()
