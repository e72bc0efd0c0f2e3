"""Which files of a project are sent to hosts that do not have them."""

from __future__ import annotations

import os
import stat
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

from hbsim.errors import ParameterError

__all__ = ["LIMIT", "find_module", "project_entries", "project_files", "read_files"]

LIMIT: Final = 64 << 20  # bytes of all files together
_MOST: Final = 50_000  # entries that are looked at
_SMALL: Final = 1 << 20  # bytes of a file that is no Python
_DATA: Final = (".cfg", ".csv", ".ini", ".json", ".toml", ".tsv", ".txt", ".yaml", ".yml")
_INSTALLED: Final = ("site-packages", "dist-packages")
_MARKS: Final = ("pyvenv.cfg", "conda-meta", "journal.jsonl")  # environments; the folder of a study


def project_files(root: Path) -> list[str]:
    """Return the files of a project that its training function may need, as paths below `root`.

    All Python files, and files of text up to 1 MiB (.cfg, .csv, .ini, .json, .toml, .tsv, .txt, .yaml, .yml),
    in this folder and the folders in it. Not: what is hidden, ``__pycache__``, virtual environments, packages
    that are installed, folders of studies, links to folders that are no packages, and what is no file.

    Raises
    ------
    ParameterError
        The folder holds too many files to be one project.
    """
    found = []
    for seen, (entry, below) in enumerate(_walk(root, Path(), (os.path.realpath(root),))):
        if seen == _MOST:
            rule = f"{root} holds more than {_MOST:,} files; put the training code into a folder of its own"
            raise ParameterError("send", "folder", rule)
        if _is_wanted(entry):
            found.append(below.as_posix())
    return found


def read_files(root: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read files below `root`.

    Raises
    ------
    ParameterError
        One cannot be read, or together they are larger than 64 MiB.
    """
    try:
        sizes = {name: (root / name).stat().st_size for name in names}
        if sum(sizes.values()) > LIMIT:
            largest = max(sizes, key=lambda name: sizes[name])
            rule = (
                f"the code is larger than {LIMIT >> 20} MiB; the largest file is {root / largest}, "
                f"{sizes[largest] / (1 << 20):.1f} MiB: move it out of the folder"
            )
            raise ParameterError("send", "folder" if len(names) > 1 else "file", rule)
        return {name: (root / name).read_bytes() for name in names}
    except OSError as error:
        rule = f"cannot be read: {error.strerror or error}"
        raise ParameterError("train", str(error.filename or root), rule) from error


def project_entries(path: Sequence[str]) -> list[str]:
    """Return the entries of this process's module path that are not of the Python installation it runs in."""
    places = {key: os.path.realpath(value) for key, value in sysconfig.get_paths().items()}
    inside = [places[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = []
    for entry in path:
        real = os.path.realpath(entry)
        installed = any(part in _INSTALLED for part in Path(real).parts)
        of_python = any(real == place or real.startswith(place + os.sep) for place in inside)
        if not installed and not of_python and real != places["scripts"] and os.path.isdir(real):
            found.append(os.path.abspath(entry))
    return list(dict.fromkeys(found))


def find_module(dotted: str, path: Sequence[str]) -> Path | None:
    """Find a module's file as a new process would; nothing is imported.

    Parameters
    ----------
    dotted : str
        The module's name.
    path : sequence of str
        The module path to look in first; then in this process's, and what else its finders know.
    """
    top, *inner = dotted.split(".")
    spec = PathFinder.find_spec(top, [*path, *sys.path])
    spec = spec or next((spec for finder in sys.meta_path if (spec := finder.find_spec(top, None))), None)
    for part in inner:
        if spec is None:
            return None
        # By its last name: with the whole one, a folder without __init__.py asks for its package's module.
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or ()))
    origin = spec.origin if spec is not None else None
    return Path(origin) if origin is not None and os.path.isfile(origin) else None


def _walk(folder: Path, below: Path, above: tuple[str, ...]) -> Iterator[tuple[os.DirEntry[str], Path]]:
    """Give all files in order; `above` are the folders that this one is in, so that no link leads round."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        rule = f"{folder} cannot be read: {error.strerror or error}"
        raise ParameterError("send", "folder", rule) from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if not entry.is_dir():
            yield entry, below / entry.name
        elif not _is_foreign(entry) and (real := os.path.realpath(entry.path)) not in above:
            yield from _walk(Path(entry.path), below / entry.name, (*above, real))


def _is_foreign(folder: os.DirEntry[str]) -> bool:
    if folder.name in _INSTALLED or folder.name.endswith(".egg-info"):
        return True
    if folder.is_symlink() and not os.path.isfile(os.path.join(folder.path, "__init__.py")):
        return True  # to data, most often
    return any(os.path.exists(os.path.join(folder.path, mark)) for mark in _MARKS)


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    try:
        state = entry.stat()
    except OSError:  # a link to nothing
        return False
    if not stat.S_ISREG(state.st_mode):
        return False
    suffix = os.path.splitext(entry.name)[1]
    return suffix == ".py" or (suffix in _DATA and state.st_size <= _SMALL)
