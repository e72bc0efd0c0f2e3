"""The module `scheduler` of AutoTorch: ``import hbsim as at``, ``at.scheduler.HyperbandScheduler``."""

from hbsim.autotorch.schedulers import FIFOScheduler, HyperbandScheduler

__all__ = ["FIFOScheduler", "HyperbandScheduler"]
