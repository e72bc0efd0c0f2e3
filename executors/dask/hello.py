"""What an agent says of its host."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hbsim.errors import OutputError, ParameterError
from hbsim.executors import devices
from hbsim.executors.dask import packs
from hbsim.executors.dask.home import held
from hbsim.executors.dask.versions import versions
from hbsim.executors.dask.wire import Body
from hbsim.executors.dask.work import depot_of, trials_of, work_folder

__all__ = ["WIRE", "Place", "find_place", "hello", "holds"]

WIRE: Final = 1  # the version of what is said
_MACHINE: Final = "/etc/machine-id"
_BOOT: Final = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent keeps things.

    Attributes
    ----------
    work : Path
        This host's own folder for the study.
    trials : Path
        The folder of the trials' folders.
    shared : bool
        Whether that is the study's, which the controller sees, too.
    """

    work: Path
    trials: Path
    shared: bool


def find_place(config: Mapping[str, Any]) -> Place:
    """Find out whether this host sees the study's folder, and where its trials go.

    Parameters
    ----------
    config : mapping
        The plugin's configuration: ``study``, ``session``, ``trials``, ``probe``, ``storage``.

    Raises
    ------
    ParameterError
        The host has no folder of its own; or it does not see the study's where it has to.
    """
    work = work_folder(config["study"])
    storage, trials = config["storage"], Path(config["trials"])
    if storage not in ("auto", "shared"):
        return Place(work, trials_of(work), False)
    if _sees(trials / f".probe-{config['session']}", config["probe"]):
        return Place(work, trials, True)
    if storage == "shared":
        rule = f'{socket.gethostname()} does not see {trials}; use "auto" or "pull"'
        raise ParameterError("storage", storage, rule)
    return Place(work, trials_of(work), False)


def hello(place: Place) -> Body:
    """Return the message; see `hbsim.executors.dask.wire`.

    ``boot`` tells machines apart, ``group`` the quotas on CPU time of one machine, ``depot`` the folders in
    which they keep trials. ``holds`` are the trials whose checkpoints are in this host's own folder, with the
    job that made it. ``threads`` is how many threads whoever started the agent wants each process to compute
    with.

    Raises
    ------
    ParameterError
        ``CUDA_VISIBLE_DEVICES`` cannot be right.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {
        "m": "hello",
        "wire": WIRE,
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "cpus": devices.cpus(),
        "cpu_limit": devices.cpu_limit(),
        "group": devices.cpu_group(),
        "gpus": [asdict(gpu) for gpu in devices.gpus(os.environ)],
        "threads": int(threads) if threads.isdecimal() and int(threads) else None,
        "versions": versions(),
        "platform": platform.platform(),
        "shared": place.shared,
        "trials": str(place.trials),
        "depot": depot_of(place.work),
        "holds": {str(trial): job for trial, job in holds(place).items()},
    }


def holds(place: Place) -> dict[int, int]:
    """Return the trials whose checkpoints are in a host's own folder, with the job that made each."""
    if place.shared:
        return {}
    for folder in place.trials.glob("[0-9]*"):
        with suppress(OutputError):
            packs.recover(folder)
    return held(place.trials)


def _sees(probe: Path, text: str) -> bool:
    try:
        return probe.read_text("utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def _boot() -> str:
    """Return what no other machine says, nor this one once it has been started again.

    The kernel draws its boot id anew at each start, so it is the machine's. Containers of one machine have it
    in common, whatever their images hold, and are to: their cores are the same ones. Which of them share
    what, `hbsim.executors.dask.machine.find_pool` tells apart. A machine id is the image's, and the same in
    pods of one image on many machines; so without a boot id the host's name is added.
    """
    for words in ((_read(_BOOT),), (_read(_MACHINE), socket.gethostname())):
        if all(words):
            return " ".join(words)
    return socket.gethostname()


def _read(file: str) -> str:
    try:
        return Path(file).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
