"""AutoTorch's place of its scheduler classes: ``import hbsim as at``, ``at.scheduler.HyperbandScheduler``."""

from hbsim.autotorch.fifo import FIFOScheduler
from hbsim.autotorch.hyperband import HyperbandScheduler

__all__ = ["FIFOScheduler", "HyperbandScheduler"]
