"""How a training function's code gets to hosts that do not have it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.dask.code_files import find_module, project_entries, project_files, read_files
from hbsim.executors.dask.code_place import VERSION, digest_of, localise, needs_trust, python_version
from hbsim.executors.target import label_of

__all__ = ["localise", "make_bundle", "needs_trust", "with_neighbour"]

_MISSING: Final = re.compile(r"No module named '(\w+)")


def make_bundle(target: Mapping[str, Any], send: str = "file") -> dict[str, Any]:
    """Put a training function's code into plain JSON types, to be sent.

    Parameters
    ----------
    target : mapping
        Of `hbsim.executors.target.make_target`, made in this process.
    send : "file" or "folder"
        The function's file; or its folder, as `project_files` has it, for a module in a package the package's
        outermost folder. A function by value travels as it is, with ``"folder"`` together with the first
        folder of the module path.

    Returns
    -------
    bundle : dict
        Plain JSON types, the same for the same code.

    Raises
    ------
    ParameterError
        A file cannot be read, the code is larger than 64 MiB, or its package's folder cannot be told.
    """
    entries = project_entries(target["path"])
    root, names, sent = _choose(target, send, entries)
    contents = read_files(root, names) if root is not None else {}
    bundle = {
        "version": VERSION,
        "target": {key: value for key, value in target.items() if key != "path"},
        "label": label_of(target),
        "python": python_version(),
        "root": None if root is None else str(root),
        "path": entries,
        "cwd": _working_directory(),
        "sent": sent,
        "files": [_pack(name, contents[name] if sent else None, contents[name]) for name in names],
    }
    return {**bundle, "digest": digest_of(bundle)}


def with_neighbour(problem: str, bundle: Mapping[str, Any]) -> str:
    """Return what a host has said, with a cure if it misses what lies beside the file that was sent."""
    missing = _MISSING.search(problem)
    if missing is None or len(bundle["files"]) != 1 or not bundle["sent"]:
        return problem
    name, folder = missing[1], Path(bundle["root"])
    if not ((folder / f"{name}.py").is_file() or (folder / name).is_dir()):
        return problem
    file = bundle["files"][0]["name"]
    return f"{problem}; {file} imports {name}, which lies beside it: send='folder'"


def _choose(target: Mapping[str, Any], send: str, entries: list[str]) -> tuple[Path | None, list[str], bool]:
    """Return the folder, the names of the files in it, the function's first, and whether they are sent."""
    if "pickled" in target:
        first = Path(target["path"][0]) if target["path"] else None
        names = [] if send == "file" or first is None or str(first) not in entries else project_files(first)
        return (first, names, True) if names else (None, [], True)
    if "file" in target:
        file = Path(target["file"])
        return file.parent, _with_others(file.parent, file.name, send), True
    return _choose_module(target, send)


def _choose_module(target: Mapping[str, Any], send: str) -> tuple[Path | None, list[str], bool]:
    dotted = target["module"]
    file = find_module(dotted, ())
    if file is None:
        raise ParameterError("train", label_of(target), f"there is no module {dotted} on the module path")
    parts = dotted.split(".")
    name = PurePosixPath(*parts, "__init__.py") if file.name == "__init__.py" else PurePosixPath(*parts)
    name = name if file.name == "__init__.py" else name.with_name(f"{parts[-1]}.py")
    root = file.parents[len(name.parts) - 1]
    if (root / name) != file:  # an editable install that maps folders to other names
        rule = f"the module {dotted} is in {file}, a place that its name does not tell; give FILE.py:NAME"
        raise ParameterError("train", label_of(target), rule)
    if len(name.parts) == 1:
        return root, _with_others(root, name.name, send), True
    if send == "file":
        return root, [str(name)], False  # its package has to be on the host
    below = [f"{parts[0]}/{other}" for other in project_files(root / parts[0])]
    return root, [str(name), *(other for other in below if other != str(name))], True


def _with_others(root: Path, name: str, send: str) -> list[str]:
    if send == "file" or not project_entries([str(root)]):
        return [name]
    return [name, *(other for other in project_files(root) if other != name)]


def _pack(name: str, data: bytes | None, content: bytes) -> dict[str, Any]:
    packed = None if data is None else base64.b64encode(zlib.compress(data)).decode("ascii")
    return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "data": packed}


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None
