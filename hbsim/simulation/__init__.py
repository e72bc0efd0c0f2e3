"""The simulator: a cluster model on a SimPy environment, driven by the runner's loop."""

from hbsim.simulation.cluster import Cluster, Machines
from hbsim.simulation.distributions import Empirical, Exponential, Gamma, LogNormal, Uniform, Weibull
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
