"""AutoTorch's place of its scheduler classes: ``import hbsim as at``, ``at.scheduler.HyperbandScheduler``."""

from hbsim.autotorch.schedulers import FIFOScheduler, HyperbandScheduler

__all__ = ["FIFOScheduler", "HyperbandScheduler"]
