"""The simulator: a cluster model on a SimPy environment, driven by the runner's loop.

`Result` is loaded when it is first used, so that the options of a cluster are read quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hbsim.simulation.cluster import Cluster, Machines
from hbsim.simulation.distributions import Empirical, Exponential, Gamma, LogNormal, Uniform, Weibull

if TYPE_CHECKING:
    from hbsim.simulation.result import Result

__all__ = [
    "Cluster",
    "Empirical",
    "Exponential",
    "Gamma",
    "LogNormal",
    "Machines",
    "Result",
    "Uniform",
    "Weibull",
]


def __getattr__(name: str) -> object:
    if name == "Result":
        from hbsim.simulation.result import Result

        return Result
    raise AttributeError(f"module 'hbsim.simulation' has no attribute {name!r}")
