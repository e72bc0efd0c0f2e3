"""AutoTorch's place of its scheduler classes: ``at.scheduler.HyperbandScheduler`` after ``import hbsim as at``."""

from hbsim.seed.fifo import FIFOScheduler
from hbsim.seed.hyperband import HyperbandScheduler

__all__ = ["FIFOScheduler", "HyperbandScheduler"]
