"""A host's own folder for a study: code that was sent, and trials where the study's folder is not seen."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Final

from hbsim.errors import ParameterError

__all__ = ["VARIABLE", "depot_of", "trials_of", "work_folder"]

VARIABLE: Final = "HBSIM_WORK"
_DEPOT: Final = "depot"


def work_folder(study: str) -> Path:
    """Return this host's folder for a study, which nobody else can use; it is made if it is not there.

    It is in the folder that the environment variable ``HBSIM_WORK`` names, else in ``hbsim-UID`` in the
    folder for temporary files.

    Parameters
    ----------
    study : str
        The study's id.

    Raises
    ------
    ParameterError
        It cannot be made, or somebody else has a hand in it.
    """
    if not study.isalnum():
        raise ParameterError("study", study, "must be letters and digits")
    given = os.environ.get(VARIABLE)
    if given:
        base = Path(given).expanduser().absolute()
    else:
        base = _private(Path(tempfile.gettempdir()).absolute() / f"hbsim-{os.getuid()}")
    return _private(base / study)


def trials_of(work: Path) -> Path:
    """Return where trials' folders are, below a host's folder for a study."""
    return work / "trials"


def depot_of(work: Path) -> str:
    """Return an id of the folder: who reads the same one sees the same folder, whatever its host is called.

    Raises
    ------
    ParameterError
        It cannot be written.
    """
    file = work / _DEPOT
    temporary = work / f".{_DEPOT}-{secrets.token_hex(8)}"
    try:
        if not file.exists():
            temporary.write_text(secrets.token_hex(8), "ascii")
            try:
                os.link(temporary, file)
            except FileExistsError:  # another process was quicker
                pass
            finally:
                temporary.unlink()
        return file.read_text("ascii")
    except OSError as error:
        raise _wrong(work, f"cannot be written: {error.strerror or error}") from error


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.lstat()
    except OSError as error:
        raise _wrong(folder, f"cannot be made: {error.strerror or error}") from error
    if not stat.S_ISDIR(about.st_mode):
        raise _wrong(folder, "must be a folder, and no link to one")
    if about.st_uid != os.getuid():
        raise _wrong(folder, f"belongs to user {about.st_uid}, and this process to user {os.getuid()}")
    if about.st_mode & 0o077:
        raise _wrong(folder, f"others can use it: its mode must be 700, and is {about.st_mode & 0o777:o}")
    return folder


def _wrong(folder: Path, rule: str) -> ParameterError:
    return ParameterError(VARIABLE, str(folder), f"{rule}; set {VARIABLE} to a folder of your own")
