"""Bundles of a training function's code: made by the controller, and unpacked on hosts."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import sys
import sysconfig
import zlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias

from hbsim.errors import OutputError, ParameterError
from hbsim.executors.training_function import label_of

Bundle: TypeAlias = Mapping[str, Any]  # plain JSON types
LIMIT: Final = 64 << 20  # bytes of all files together
MOST: Final = 50_000  # files of a folder that are considered
_SMALL: Final = 1 << 20  # largest size in bytes of a file other than Python code
_DATA: Final = (".cfg", ".csv", ".ini", ".json", ".toml", ".tsv", ".txt", ".yaml", ".yml")
_INSTALLED: Final = ("site-packages", "dist-packages")
_NO_CODE: Final = ("pyvenv.cfg", "conda-meta", "journal.jsonl")  # of environments; of a study's folder
_MISSING: Final = re.compile(r"No module named '(\w+)")


def make_bundle(target: Mapping[str, Any], send: str = "file") -> dict[str, Any]:
    """Return a bundle of a training function's code, in plain JSON types.

    Parameters
    ----------
    target : mapping
        From `hbsim.executors.training_function.make_target` in this process.
    send : "file" or "folder"
        Whether to send the function's file, or its folder (the outermost package's folder for a module in a
        package): all Python files, and text files up to 1 MiB, without hidden files, ``__pycache__``, virtual
        environments, installed packages, folders of studies and links to folders. With ``"file"`` nothing is
        sent for a module in a package; with ``"folder"`` a function by value sends the first folder of the
        module path.

    Returns
    -------
    bundle : dict
        The bundle; equal code gives equal bundles.

    Raises
    ------
    ParameterError
        A file cannot be read, or the code is larger than 64 MiB.
    """
    entries = _project_entries(target["path"])
    root, names = _choose(target, send, entries)
    return {
        "target": {key: value for key, value in target.items() if key != "path"},
        "label": label_of(target),
        "root": str(root),
        "path": entries,
        "cwd": os.path.abspath("."),
        "files": {name: _pack(content) for name, content in _read(root, names).items()},
    }


def needs_trust(bundle: Bundle) -> bool:
    """Return whether the bundle holds a pickle, which can execute any code when it is loaded."""
    return "pickled" in bundle["target"]


def with_neighbour(problem: str, bundle: Bundle) -> str:
    """Return a host's error, with a remedy if a module beside the function's file is missing there."""
    missing = _MISSING.search(problem)
    if missing is None or len(bundle["files"]) != 1:
        return problem
    (file,), beside = bundle["files"], Path(bundle["root"], missing[1])
    if not (beside.with_suffix(".py").is_file() or beside.is_dir()):
        return problem
    return f"{problem}; {file} imports {missing[1]}, which lies beside it: send='folder'"


def localise(bundle: Bundle, work: Path) -> dict[str, Any]:
    """Unpack a bundle's code on this host.

    If all files exist on this host at the same paths with the same content, those are used. Else all files
    are written to ``work/code/DIGEST``; several processes may do so at once.

    Parameters
    ----------
    bundle : mapping
        A bundle from `make_bundle`.
    work : Path
        A folder that no other user can write to; made if it does not exist.

    Returns
    -------
    target : dict
        For `hbsim.executors.training_function.load_target`. Its ``path`` is the code's folder, the entries of
        the controller's module path that exist on this host and are no installed packages, and this process's
        own path. The additional key ``cwd`` is the working directory for trials: the controller's if it
        exists on this host, else the code's folder; None if there is neither.

    Raises
    ------
    OutputError
        The code cannot be written.
    """
    target = {**bundle["target"], "label": bundle["label"]}
    folders = [_place(bundle, work)] if bundle["files"] else []
    if "file" in target:
        target["file"] = os.path.join(folders[0], next(iter(bundle["files"])))
    entries = filter(os.path.isdir, bundle["path"])
    target["path"] = list(dict.fromkeys([*folders, *entries, *map(os.path.abspath, sys.path)]))
    target["cwd"] = next(filter(os.path.isdir, [bundle["cwd"], *folders]), None)
    if "command" in target:
        cwd = next(filter(os.path.isdir, [*folders, target["command"]["cwd"]]), target["cwd"] or ".")
        target["command"] = {**target["command"], "cwd": cwd}
    return target


# On the controller


def _choose(target: Mapping[str, Any], send: str, entries: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the folder, and the names of its files in the bundle, with the function's file first."""
    if "command" in target:
        root = Path(target["command"]["cwd"])
        return root, list(dict.fromkeys([*target["files"], *(_files(root) if send == "folder" else ())]))
    if "pickled" in target:
        first = Path(*target["path"][:1])
        return first, _files(first) if send == "folder" and str(first) in entries else []
    if "file" in target:
        file, package = Path(target["file"]), ()
    else:
        spec = find_spec(target["module"])
        assert spec is not None  # `make_target` has found the module
        assert spec.origin is not None
        file = Path(spec.origin)
        parts = target["module"].split(".")
        package = parts if file.name == "__init__.py" else parts[:-1]
    root = file.parents[len(package)]
    name = file.relative_to(root).as_posix()
    if send == "file":
        return root, [] if package else [name]  # hosts must have the package
    if package:
        return root, [name, *(f"{package[0]}/{other}" for other in _files(root / package[0]))]
    return root, [name, *(_files(root) if _project_entries([str(root)]) else ())]


def _files(root: Path) -> list[str]:
    """Return the files of a project that its training function may need, as paths below `root`."""
    found, seen = [], 0
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not _is_foreign(Path(folder, name)))
        paths = [Path(folder, name) for name in sorted(names)]
        seen += len(paths)
        if seen > MOST:
            rule = f"{root} holds more than {MOST:,} files; put the training code into a folder of its own"
            raise ParameterError("send", "folder", rule)
        found += [path.relative_to(root).as_posix() for path in paths if _is_wanted(path)]
    return found


def _is_foreign(folder: Path) -> bool:
    if folder.name in ("__pycache__", *_INSTALLED) or folder.name.startswith("."):
        return True
    return folder.suffix == ".egg-info" or any((folder / name).exists() for name in _NO_CODE)


def _is_wanted(file: Path) -> bool:
    if file.name.startswith(".") or not file.is_file():
        return False
    return file.suffix == ".py" or (file.suffix in _DATA and file.stat().st_size <= _SMALL)


def _read(root: Path, names: Sequence[str]) -> dict[str, bytes]:
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


def _project_entries(path: Sequence[str]) -> list[str]:
    """Return the entries of this process's module path outside of its Python installation."""
    places = {key: os.path.realpath(value) for key, value in sysconfig.get_paths().items()}
    inside = [places[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = []
    for entry in path:
        real = os.path.realpath(entry)
        is_installed = any(part in _INSTALLED for part in Path(real).parts)
        of_python = any(real == place or real.startswith(place + os.sep) for place in inside)
        if not is_installed and not of_python and real != places["scripts"] and os.path.isdir(real):
            found.append(os.path.abspath(entry))
    return list(dict.fromkeys(found))


def _pack(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode("ascii")


# On a host


def _place(bundle: Bundle, work: Path) -> str:
    """Return the folder of the code; write the code if it is not there."""
    files = {name: zlib.decompress(base64.b64decode(data)) for name, data in bundle["files"].items()}
    if all(_is_same(Path(bundle["root"], name), content) for name, content in files.items()):
        return str(bundle["root"])
    folder = work / "code" / hashlib.sha256(json.dumps(bundle["files"]).encode()).hexdigest()
    try:
        for name, content in files.items():
            _write(folder / name, content)
    except OSError as error:
        problem = f"the training function's code cannot be written: {error.strerror or error}"
        raise OutputError(str(folder), problem) from error
    return str(folder)


def _is_same(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically, unless it has this content."""
    if _is_same(path, content):
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
