"""Asynchronous Hyperband: simulate it, compare its variants before you spend GPU hours, then run it.

Names are loaded when they are first used, so that ``import hbsim`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hbsim.autotorch.schedulers import FIFOScheduler, HyperbandScheduler
    from hbsim.autotorch.tasks import Task, done
    from hbsim.bench.comparison import Sweep, compare, load_sweep, sweep
    from hbsim.core import make_scheduler
    from hbsim.core.space import Bool, Choice, Dict, Int, List, Real, Space, args, func, obj
    from hbsim.executors.command import Command
    from hbsim.executors.remote.options import Dask, Hosts
    from hbsim.planning.plan import plan
    from hbsim.script import checkpoint_dir, report
    from hbsim.simulation import Cluster, Result
    from hbsim.study.callbacks import Callback
    from hbsim.study.record import record
    from hbsim.study.result import RunResult, load
    from hbsim.study.run import run
    from hbsim.study.saved_objects import save
    from hbsim.study.simulate import simulate
    from hbsim.study.simulated_run import SimulatedResult

__version__: Final = "0.1.0"

__all__ = [
    "Bool",
    "Callback",
    "Choice",
    "Cluster",
    "Command",
    "Dask",
    "Dict",
    "FIFOScheduler",
    "Hosts",
    "HyperbandScheduler",
    "Int",
    "List",
    "Real",
    "Result",
    "RunResult",
    "SimulatedResult",
    "Space",
    "Sweep",
    "Task",
    "args",
    "checkpoint_dir",
    "compare",
    "done",
    "func",
    "load",
    "load_sweep",
    "make_scheduler",
    "obj",
    "plan",
    "record",
    "report",
    "run",
    "save",
    "simulate",
    "sweep",
]

_MODULES: Final = {
    "Bool": "hbsim.core.space",
    "Callback": "hbsim.study.callbacks",
    "Categorical": "hbsim.space",  # AutoTorch's other name of Choice
    "Choice": "hbsim.core.space",
    "Cluster": "hbsim.simulation",
    "Command": "hbsim.executors.command",
    "Dask": "hbsim.executors.remote.options",
    "Dict": "hbsim.core.space",
    "FIFOScheduler": "hbsim.autotorch.schedulers",
    "Hosts": "hbsim.executors.remote.options",
    "HyperbandScheduler": "hbsim.autotorch.schedulers",
    "Int": "hbsim.core.space",
    "List": "hbsim.core.space",
    "Real": "hbsim.core.space",
    "Result": "hbsim.simulation",
    "RunResult": "hbsim.study.result",
    "SimulatedResult": "hbsim.study.simulated_run",
    "Space": "hbsim.core.space",
    "Sweep": "hbsim.bench.comparison",
    "Task": "hbsim.autotorch.tasks",
    "args": "hbsim.core.space",
    "checkpoint_dir": "hbsim.script",
    "compare": "hbsim.bench.comparison",
    "done": "hbsim.autotorch.tasks",
    "func": "hbsim.core.space",
    "get_cpu_count": "hbsim.autotorch.tasks",  # names of AutoTorch
    "get_gpu_count": "hbsim.autotorch.tasks",
    "load": "hbsim.study.result",
    "load_sweep": "hbsim.bench.comparison",
    "make_scheduler": "hbsim.core",
    "obj": "hbsim.core.space",
    "plan": "hbsim.planning.plan",
    "record": "hbsim.study.record",
    "report": "hbsim.script",
    "run": "hbsim.study.run",
    "save": "hbsim.study.saved_objects",
    "simulate": "hbsim.study.simulate",
    "sweep": "hbsim.bench.comparison",
}


_SUBMODULES: Final = (
    "autotorch",
    "bench",
    "core",
    "errors",
    "executors",
    "integrations",
    "planning",
    "scheduler",
    "searcher",
    "searchers",
    "simulation",
    "space",
    "study",
    "surrogates",
)


def __getattr__(name: str) -> object:
    if name in _SUBMODULES:
        return import_module(f"hbsim.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'hbsim' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
