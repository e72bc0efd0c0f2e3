"""The simulator: a cluster model on a SimPy environment, driven by the runner's loop."""

from hbsim.simulation.cluster import Cluster
from hbsim.simulation.result import Result

__all__ = ["Cluster", "Result"]
