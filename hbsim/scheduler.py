"""AutoTorch's place of its scheduler classes: ``import hbsim as at``, ``at.scheduler.HyperbandScheduler``."""

from hbsim.seed.fifo import FIFOScheduler
from hbsim.seed.hyperband import HyperbandScheduler

__all__ = ["FIFOScheduler", "HyperbandScheduler"]
