"""Where code that has been sent goes on the host that it has been sent to."""

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
from pathlib import Path
from typing import Any, Final

from hbsim.errors import OutputError, ParameterError
from hbsim.executors.dask.code_files import LIMIT, find_module

__all__ = ["VERSION", "digest_of", "localise", "needs_trust", "python_version"]

VERSION: Final = 1
_FOLDER: Final = "code"


def needs_trust(bundle: Mapping[str, Any]) -> bool:
    """Whether the bundle holds a pickle: loading it runs whatever whoever wrote it has put in."""
    return "pickled" in bundle["target"]


def localise(bundle: Mapping[str, Any], work: Path) -> dict[str, Any]:
    """Make a bundle's code loadable on this host.

    Files that are at the same place here with the same content are used where they are. Else they are written
    to ``work/code/DIGEST``, the digest of them all; several processes may do so at once.

    Parameters
    ----------
    bundle : mapping
        Of `hbsim.executors.dask.code.make_bundle`.
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


def digest_of(bundle: Mapping[str, Any]) -> str:
    """Return the digest of everything in a bundle; files count by their own digests."""
    files = [{**file, "data": None} for file in bundle["files"]]
    kept = {**{key: value for key, value in bundle.items() if key != "digest"}, "files": files}
    return _digest(kept)


def python_version() -> str:
    """Return the version of this Python as far as pickles depend on it, ``3.12``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _check(bundle: Mapping[str, Any]) -> None:
    if bundle.get("version") != VERSION:
        rule = (
            f"is code of version {bundle.get('version')}; this hbsim, on {platform.node()}, reads {VERSION}"
        )
        raise ParameterError("train", bundle.get("label"), rule)
    if bundle["digest"] != digest_of(bundle) or not all(map(_is_inside, bundle["files"])):
        raise ParameterError("train", bundle["label"], "the code that has arrived is not what was sent")
    if needs_trust(bundle) and bundle["python"] != python_version():
        here = f"Python {python_version()} on {platform.node()}"
        rule = (
            f"is sent by value from Python {bundle['python']}, which {here} cannot load; put it into a file"
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
    folder = work / _FOLDER / _digest([[file["name"], file["sha256"]] for file in bundle["files"]])
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
    depth: int = file["name"].count("/")
    return found.parents[depth]


def _is_there(path: Path, file: Mapping[str, Any]) -> bool:
    try:
        if path.stat().st_size != file["size"]:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == str(file["sha256"])
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
