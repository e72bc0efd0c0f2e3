"""The module `scheduler` of AutoTorch: ``import hbsim as at``, ``at.scheduler.HyperbandScheduler``."""

from hbsim.autotorch import tasks as resource
from hbsim.autotorch.managers import HyperbandPromotion_Manager, HyperbandStopping_Manager
from hbsim.autotorch.schedulers import FIFOScheduler, HyperbandScheduler, TaskScheduler
from hbsim.autotorch.tasks import get_cpu_count, get_gpu_count

__all__ = [
    "FIFOScheduler",
    "HyperbandPromotion_Manager",
    "HyperbandScheduler",
    "HyperbandStopping_Manager",
    "TaskScheduler",
    "get_cpu_count",
    "get_gpu_count",
    "resource",
]
