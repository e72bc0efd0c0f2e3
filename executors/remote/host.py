"""An agent's host: the folders of trials and checkpoints, cores, GPUs and versions."""

from __future__ import annotations

import os
import re
import secrets
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hbsim.errors import ParameterError, counted
from hbsim.executors import devices
from hbsim.executors.devices import Gpu
from hbsim.executors.local import trial_folder
from hbsim.executors.remote import store
from hbsim.executors.remote.allocation import versions
from hbsim.executors.remote.protocol import Body

VARIABLE: Final = "HBSIM_WORK"
HOUR: Final = 3600.0  # seconds
_SOME: Final = 20  # files and folders that are touched in a step
_ROOT: Final = Path("/")


@dataclass(frozen=True, slots=True)
class AgentFolders:
    """The folders of an agent.

    Attributes
    ----------
    work : Path
        This host's own folder for the study.
    trials : Path
        The folder of the trials' folders.
    shared : bool
        Whether `trials` is the study's folder, which the controller sees, too.
    """

    work: Path
    trials: Path
    shared: bool

    @property
    def incoming(self) -> Path:
        """The folder for checkpoints that are copied to this host, on the same file system as `trials`."""
        return self.work / "incoming"


def find_folders(config: Mapping[str, Any]) -> AgentFolders:
    """Return the folders of this host's agent, after a check whether the host sees the study's folder.

    Parameters
    ----------
    config : mapping
        The agent's configuration: ``study``, ``session``, ``trials``, ``probe``, ``storage``.

    Raises
    ------
    ParameterError
        The host has no folder of its own, or does not see the study's folder although it has to.
    OSError
        The host's folder cannot be written.
    """
    storage, trials = config["storage"], Path(config["trials"])
    place = AgentFolders(work := work_folder(config["study"]), work / "trials", False)
    place.incoming.mkdir(exist_ok=True)
    if storage not in ("auto", "shared"):
        return place
    with suppress(OSError, UnicodeDecodeError):
        if (trials / f".probe-{config['session']}").read_text("utf-8") == config["probe"]:
            return AgentFolders(work, trials, True)
    if storage == "shared":
        rule = f'this host does not see {trials}; use "auto" or "pull"'
        raise ParameterError("storage", storage, rule)
    return place


def work_folder(study: str) -> Path:
    """Return this host's folder for a study, which no other user can use; make it if it does not exist.

    It is below the folder in the environment variable ``HBSIM_WORK``, else below ``hbsim-UID`` in the folder
    for temporary files.

    Parameters
    ----------
    study : str
        The study's id.

    Raises
    ------
    ParameterError
        The folder cannot be made, or another user can use it.
    """
    if given := os.environ.get(VARIABLE):
        return _private(Path(given).expanduser().absolute() / study)
    return _private(_private(Path(tempfile.gettempdir()).absolute() / f"hbsim-{os.getuid()}") / study)


def hello(place: AgentFolders) -> Body:
    """Return the message ``hello``.

    ``name`` is the machine's own name. ``boot`` is an id of the machine, ``group`` of the quota on its CPU
    time, ``store`` of the folder of trials: agents with the same id see the same folder.
    ``holds`` are the trials whose checkpoints are in this host's own folder: for each the ``job`` that made
    it, its ``folder``, that of the one with the state of the ``best`` report if it is another, or null, and
    that of the trial's ``files`` or null.
    ``threads`` is the number of threads that the agent's environment sets for each process.

    Raises
    ------
    ParameterError
        ``CUDA_VISIBLE_DEVICES`` is invalid.
    OSError
        The host's folder cannot be written.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    gpus = devices.gpus(os.environ)
    return {
        "m": "hello",
        "boot": _boot(),
        "name": socket.gethostname(),
        "cpus": devices.cpus(),
        "cpu_limit": devices.cpu_limit(),
        "group": devices.cpu_group(),
        "gpus": [asdict(gpu) for gpu in gpus],
        "gpu_problem": gpu_problem(gpus),
        "threads": int(threads) if threads.isdecimal() and int(threads) else None,
        "versions": versions(),
        "shared": place.shared,
        "incoming": str(place.incoming),
        "store": _store_id(place.work),
        "holds": {} if place.shared else _holds(place.trials),
    }


def gpu_problem(gpus: Sequence[Gpu], root: Path = _ROOT, module: devices.Nvml | None = None) -> str | None:
    """Return the problem if this host has NVIDIA GPUs but its driver does not answer; None if there is none.

    The kernel lists the GPUs of the whole machine. A container or a batch job without access to them cannot
    open their devices; that is no problem.

    Parameters
    ----------
    gpus : sequence of Gpu
        The GPUs that were found.
    root : Path
        The root of the file system.
    module : Nvml, optional
        Used in place of the driver's NVML.
    """
    listed = _names(root / "proc/driver/nvidia/gpus")
    given = [root / "dev" / name for name in _names(root / "dev") if re.fullmatch(r"nvidia\d+", name)]
    if gpus or not listed or not any(_may_open(device) for device in given):
        return None
    opened = devices.open_nvml(module)
    if opened is not None and devices.boards(opened):
        return None  # CUDA_VISIBLE_DEVICES hides them
    count = counted(len(listed), "NVIDIA GPU")
    return f"it has {count}, and the driver does not answer; see what nvidia-smi says there"


def touch_all(work: Path) -> Iterator[None]:
    """Touch the files of a host's folder for a study every hour, a few at each step, without end.

    Services that clean temporary folders would else remove checkpoints of trials that are paused for days.
    """
    while True:
        due = time.monotonic() + HOUR
        for count, path in enumerate(_below(work)):
            with suppress(OSError):  # removed meanwhile
                os.utime(path, follow_symlinks=False)
            if count % _SOME == 0:
                yield
        while time.monotonic() < due:
            yield


def _below(folder: Path) -> Iterator[str]:
    """Yield a folder, its parent, and everything in it."""
    yield from (str(folder.parent), str(folder))
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield os.path.join(parent, name)


def _holds(trials: Path) -> dict[str, Body]:
    """Return the trials whose checkpoints are in a host's own folder, in the form of `hello`."""
    found: dict[str, Body] = {}
    for trial, (job, folder) in store.newest_of_all(trials).items():
        files = trial_folder(trials, trial) / store.FILES
        best = store.other_best(trial_folder(trials, trial), folder)
        own = str(files) if files.is_dir() else None
        found[str(trial)] = {"job": job, "folder": str(folder), "best": best, "files": own}
    return found


def _store_id(work: Path) -> str:
    """Return an id of the folder: processes that read the same id see the same folder."""
    link = work / "store"
    with suppress(FileExistsError):
        os.symlink(secrets.token_hex(8), link)  # made with its content, in one step
    return os.readlink(link)


def _private(folder: Path) -> Path:
    """Make a folder if it does not exist, and return it if no other user can use it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.lstat()
    except OSError as error:
        raise ParameterError(VARIABLE, str(folder), f"cannot be made: {error.strerror or error}") from error
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        rule = "must be a folder, no link, that belongs to this user, with mode 700"
        found = f"it is {stat.filemode(about.st_mode)} of user {about.st_uid}"
        raise ParameterError(VARIABLE, str(folder), f"{rule}; {found}; set {VARIABLE} to another one")
    return folder


def _boot() -> str:
    """Return an id of this machine, which is new at each boot.

    Containers of one machine share the kernel's boot id, as they should: their cores are the same.
    """
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return socket.gethostname()


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _may_open(device: Path) -> bool:
    """Return whether this process may open a device, even if the device does not work."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except (PermissionError, FileNotFoundError):
        return False
    except OSError:
        pass
    return True
