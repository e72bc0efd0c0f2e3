"""How a training function's code gets to hosts that do not have it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import secrets
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from hbsim.errors import OutputError, ParameterError
from hbsim.executors.dask.code_files import (
    LIMIT,
    find_module,
    project_entries,
    project_files,
    read_files,
)
from hbsim.executors.target import label_of

__all__ = ["localise", "make_bundle", "needs_trust"]

_VERSION: Final = 1
_FOLDER: Final = "code"


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
        "version": _VERSION,
        "target": {key: value for key, value in target.items() if key != "path"},
        "label": label_of(target),
        "python": _python(),
        "root": None if root is None else str(root),
        "path": entries,
        "cwd": _working_directory(),
        "sent": sent,
        "files": [_pack(name, contents[name] if sent else None, contents[name]) for name in names],
    }
    return {**bundle, "digest": _digest(bundle)}


def needs_trust(bundle: Mapping[str, Any]) -> bool:
    """Whether the bundle holds a pickle: loading it runs whatever whoever wrote it has put in."""
    return "pickled" in bundle["target"]


def localise(bundle: Mapping[str, Any], work: Path) -> dict[str, Any]:
    """Make a bundle's code loadable on this host.

    Files that are at the same place here with the same content are used where they are. Else they are written
    to ``work/code/DIGEST``; several processes may do so at once.

    Parameters
    ----------
    bundle : mapping
        Of `make_bundle`.
    work : Path
        A folder that nobody else can write to; made if it is not there.

    Returns
    -------
    target : dict
        For `hbsim.executors.target.load_target`. Its ``path`` is the code's folder, the entries of the
        controller's module path that exist here and are no installed packages, and this process's own path.
        One key more, ``cwd``: the working directory for trials, which is the controller's if it exists here,
        else the same place in the code that was written; None if there is neither.

    Raises
    ------
    ParameterError
        The bundle is not as it was made; this host's Python cannot load it; or only a package's file was
        sent, and the package is not here or differs.
    OutputError
        The code cannot be written.
    """
    _check(bundle)
    root = _place(bundle, work)
    target = {**bundle["target"], "label": bundle["label"]}
    if "file" in target and root is not None:
        target["file"] = str(root / bundle["files"][0]["name"])
    entries = [entry for entry in bundle["path"] if os.path.isdir(entry)]
    first = [str(root)] if root is not None else []
    target["path"] = list(dict.fromkeys([*first, *entries, *(os.path.abspath(entry) for entry in sys.path)]))
    target["cwd"] = _cwd(bundle, root)
    return target


# Describing


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


def _digest(bundle: Mapping[str, Any]) -> str:
    """Of everything in the bundle; files count by their own digests."""
    files = [{**file, "data": None} for file in bundle["files"]]
    kept = {**{key: value for key, value in bundle.items() if key != "digest"}, "files": files}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


# Placing


def _check(bundle: Mapping[str, Any]) -> None:
    if bundle.get("version") != _VERSION:
        rule = (
            f"is code of version {bundle.get('version')}; this hbsim, on {platform.node()}, reads {_VERSION}"
        )
        raise ParameterError("train", bundle.get("label"), rule)
    if bundle["digest"] != _digest(bundle) or not all(map(_is_inside, bundle["files"])):
        raise ParameterError("train", bundle["label"], "the code that has arrived is not what was sent")
    if needs_trust(bundle) and bundle["python"] != _python():
        rule = (
            f"is sent by value, by Python {bundle['python']}, which Python {_python()} on {platform.node()} "
            "cannot load; define it at the top of a file"
        )
        raise ParameterError("train", bundle["label"], rule)


def _is_inside(file: Mapping[str, Any]) -> bool:
    parts = file["name"].split("/")
    return not any(part in ("", ".", "..") or "\0" in part for part in parts)


def _place(bundle: Mapping[str, Any], work: Path) -> Path | None:
    """Return the folder in which the code is; None if none was sent."""
    if bundle["root"] is None:
        return None
    root = Path(bundle["root"])
    if all(_is_there(root / file["name"], file) for file in bundle["files"]):
        return root
    if not bundle["sent"]:
        return _installed(bundle)
    folder = work / _FOLDER / bundle["digest"]
    try:
        for file in bundle["files"]:
            _write(folder / file["name"], file, bundle["label"])
    except OSError as error:
        problem = f"the training function's code cannot be written: {error.strerror or error}"
        raise OutputError(str(folder), problem) from error
    return folder


def _installed(bundle: Mapping[str, Any]) -> Path:
    """Return the folder of the package that the function's module is in, as it is on this host."""
    (file,) = bundle["files"]
    dotted, host = bundle["target"]["module"], platform.node()
    found = find_module(dotted, [entry for entry in bundle["path"] if os.path.isdir(entry)])
    if found is None:
        rule = f'the package of {dotted} is not on {host}; install it there, or send="folder"'
        raise ParameterError("send", "file", rule)
    if not _is_there(found, file):
        rule = f'{found} on {host} is another version of {dotted}; install the same there, or send="folder"'
        raise ParameterError("send", "file", rule)
    return found.parents[file["name"].count("/")]


def _is_there(path: Path, file: Mapping[str, Any]) -> bool:
    try:
        if path.stat().st_size != file["size"]:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
    except OSError:
        return False


def _write(path: Path, file: Mapping[str, Any], label: str) -> None:
    """Write one file, whole or not at all, unless it is there: its folder's name stands for its content."""
    content = _content(file, label)
    if _is_there(path, file):
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _content(file: Mapping[str, Any], label: str) -> bytes:
    try:
        inflate = zlib.decompressobj()
        content = inflate.decompress(base64.b64decode(file["data"], validate=True), LIMIT)
    except (ValueError, TypeError, zlib.error):
        content = b""
    if len(content) != file["size"] or hashlib.sha256(content).hexdigest() != file["sha256"]:
        raise ParameterError("train", label, f"{file['name']}, as it has arrived, is not what was sent")
    return content


def _cwd(bundle: Mapping[str, Any], root: Path | None) -> str | None:
    cwd = bundle["cwd"]
    if cwd is not None and os.path.isdir(cwd):
        return str(cwd)
    if root is None:
        return None
    try:
        same = root / Path(cwd or bundle["root"]).relative_to(bundle["root"])
    except ValueError:  # it is not in the project
        return str(root)
    return str(same if same.is_dir() else root)
