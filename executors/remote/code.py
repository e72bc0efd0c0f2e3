"""The code of a training function on its way to hosts: what is sent, and where it goes there."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import stat
import sys
import sysconfig
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias

from hbsim.errors import OutputError, ParameterError
from hbsim.executors.target import label_of

__all__ = ["localise", "make_bundle", "needs_trust", "with_neighbour"]

Bundle: TypeAlias = Mapping[str, Any]  # plain JSON types
VERSION: Final = 2
LIMIT: Final = 64 << 20  # bytes of all files together
MOST: Final = 50_000  # entries of a folder that are looked at
_SMALL: Final = 1 << 20  # bytes of a file that is no Python
_DATA: Final = (".cfg", ".csv", ".ini", ".json", ".toml", ".tsv", ".txt", ".yaml", ".yml")
_INSTALLED: Final = ("site-packages", "dist-packages")
_NO_CODE: Final = ("pyvenv.cfg", "conda-meta", "journal.jsonl")  # of environments; of a study's folder
_MISSING: Final = re.compile(r"No module named '(\w+)")


def make_bundle(target: Mapping[str, Any], send: str = "file") -> dict[str, Any]:
    """Put a training function's code into plain JSON types, to be sent.

    Parameters
    ----------
    target : mapping
        Of `hbsim.executors.target.make_target`, made in this process.
    send : "file" or "folder"
        The function's file; or its folder, for a module in a package the package's outermost folder: all
        Python files, and files of text up to 1 MiB. Not: what is hidden, ``__pycache__``, virtual
        environments, installed packages, folders of studies, links to folders that are no packages. A
        function by value travels as it is, with ``"folder"`` together with the first folder of the module
        path.

    Returns
    -------
    bundle : dict
        The same for the same code.

    Raises
    ------
    ParameterError
        A file cannot be read, the code is larger than 64 MiB, or its package's folder cannot be told.
    """
    entries = _project_entries(target["path"])
    root, names, sent = _choose(target, send, entries)
    contents = {} if root is None else _read(root, names)
    return {
        "version": VERSION,
        "target": {key: value for key, value in target.items() if key != "path"},
        "label": label_of(target),
        "python": _python_version(),
        "root": None if root is None else str(root),
        "path": entries,
        "cwd": _working_directory(),
        "sent": sent,
        "files": [_pack(name, content, sent) for name, content in contents.items()],
    }


def needs_trust(bundle: Bundle) -> bool:
    """Whether the bundle holds a pickle: loading it runs whatever whoever wrote it has put in."""
    return "pickled" in bundle["target"]


def with_neighbour(problem: str, bundle: Bundle) -> str:
    """Return what a host has said, with a cure if it misses what lies beside the file that was sent."""
    missing = _MISSING.search(problem)
    if missing is None or len(bundle["files"]) != 1 or not bundle["sent"]:
        return problem
    name, folder = missing[1], Path(bundle["root"])
    if not ((folder / f"{name}.py").is_file() or (folder / name).is_dir()):
        return problem
    file = bundle["files"][0]["name"]
    return f"{problem}; {file} imports {name}, which lies beside it: send='folder'"


def localise(bundle: Bundle, work: Path) -> dict[str, Any]:
    """Make a bundle's code loadable on this host.

    Files that are at the same place here with the same content are used where they are. Else all are
    written to ``work/code/DIGEST``; several processes may do so at once.

    Parameters
    ----------
    bundle : mapping
        Of `make_bundle`.
    work : Path
        A folder that nobody else can write to; made if it does not exist.

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
        sent, and this host does not have the package, or another version of it.
    OutputError
        The code cannot be written.
    """
    label = bundle.get("label")
    if bundle.get("version") != VERSION:
        rule = f"is code of version {bundle.get('version')}; hbsim on this host reads {VERSION}"
        raise ParameterError("train", label, rule)
    if needs_trust(bundle) and bundle["python"] != _python_version():
        rule = f"is sent by value from Python {bundle['python']}, which Python {_python_version()} on this "
        raise ParameterError("train", label, rule + "host cannot load; put it into a file")
    root = _place(bundle, work)
    target = {**bundle["target"], "label": label}
    if "file" in target and root is not None:
        target["file"] = str(root / bundle["files"][0]["name"])
    first = [] if root is None else [str(root)]
    entries = [entry for entry in bundle["path"] if os.path.isdir(entry)]
    target["path"] = list(dict.fromkeys([*first, *entries, *map(os.path.abspath, sys.path)]))
    target["cwd"] = _cwd(bundle, root)
    return target


# What is sent


def _choose(target: Mapping[str, Any], send: str, entries: list[str]) -> tuple[Path | None, list[str], bool]:
    """Return the folder, the names of the files in it, the function's first, and whether they are sent."""
    if "pickled" in target:
        first = Path(target["path"][0]) if target["path"] else None
        names = [] if send == "file" or first is None or str(first) not in entries else _files(first)
        return (first, names, True) if names else (None, [], True)
    if "file" in target:
        file = Path(target["file"])
        return file.parent, _with_others(file.parent, file.name, send), True
    dotted = target["module"]
    found = _find_module(dotted, ())
    if found is None:
        raise ParameterError("train", label_of(target), f"there is no module {dotted} on the module path")
    parts = dotted.split(".")
    inside = [*parts, "__init__.py"] if found.name == "__init__.py" else [*parts[:-1], f"{parts[-1]}.py"]
    root, name = found.parents[len(inside) - 1], str(PurePosixPath(*inside))
    if root / name != found:  # an editable install that maps folders to other names
        rule = f"the module {dotted} is in {found}, a place that its name does not tell; give FILE.py:NAME"
        raise ParameterError("train", label_of(target), rule)
    if len(inside) == 1:
        return root, _with_others(root, name, send), True
    if send == "file":
        return root, [name], False  # its package has to be on the host
    below = [f"{parts[0]}/{other}" for other in _files(root / parts[0])]
    return root, list(dict.fromkeys([name, *below])), True


def _with_others(root: Path, name: str, send: str) -> list[str]:
    if send == "file" or not _project_entries([str(root)]):
        return [name]
    return list(dict.fromkeys([name, *_files(root)]))


def _files(root: Path) -> list[str]:
    """Return the files of a project that its training function may need, as paths below `root`."""
    found = []
    for seen, (entry, below) in enumerate(_walk(root, Path(), (os.path.realpath(root),))):
        if seen == MOST:
            rule = f"{root} holds more than {MOST:,} files; put the training code into a folder of its own"
            raise ParameterError("send", "folder", rule)
        if _is_wanted(entry):
            found.append(below.as_posix())
    return found


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
    return any(os.path.exists(os.path.join(folder.path, name)) for name in _NO_CODE)


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    try:
        state = entry.stat()
    except OSError:  # a link to nothing
        return False
    suffix = os.path.splitext(entry.name)[1]
    is_text = suffix in _DATA and state.st_size <= _SMALL
    return stat.S_ISREG(state.st_mode) and (suffix == ".py" or is_text)


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
    """Return the entries of this process's module path that are not of the Python installation it runs in."""
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


def _find_module(dotted: str, path: Sequence[str]) -> Path | None:
    """Find a module's file as a new process would, in `path` first; nothing is imported."""
    top, *inner = dotted.split(".")
    spec = PathFinder.find_spec(top, [*path, *sys.path])
    spec = spec or next((spec for finder in sys.meta_path if (spec := finder.find_spec(top, None))), None)
    for part in inner:
        if spec is None:
            return None
        # By its last name: with the whole one, a folder without __init__.py asks for its package's module.
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or ()))
    origin = None if spec is None else spec.origin
    return Path(origin) if origin is not None and os.path.isfile(origin) else None


def _pack(name: str, content: bytes, sent: bool) -> dict[str, Any]:
    data = base64.b64encode(zlib.compress(content)).decode("ascii") if sent else None
    return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "data": data}


def _python_version() -> str:
    """Return the version of this Python as far as pickles depend on it, ``3.12``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


# Where it goes


def _place(bundle: Bundle, work: Path) -> Path | None:
    """Return the folder that the code is in; None if none was sent."""
    if bundle["root"] is None:
        return None
    root, files = Path(bundle["root"]), bundle["files"]
    if all(_is_same(root / file["name"], file) for file in files):
        return root
    if not bundle["sent"]:
        return _installed(bundle)
    digests = json.dumps([[file["name"], file["sha256"]] for file in files])
    folder = work / "code" / hashlib.sha256(digests.encode()).hexdigest()
    try:
        for file in files:
            _write(folder, file, bundle["label"])
    except OSError as error:
        problem = f"the training function's code cannot be written: {error.strerror or error}"
        raise OutputError(str(folder), problem) from error
    return folder


def _installed(bundle: Bundle) -> Path:
    """Return the folder of the package that the function's module is in, as it is on this host."""
    (file,) = bundle["files"]
    dotted = bundle["target"]["module"]
    found = _find_module(dotted, [entry for entry in bundle["path"] if os.path.isdir(entry)])
    if found is None:
        rule = f'the package of {dotted} is not installed on this host; install it, or send="folder"'
        raise ParameterError("send", "file", rule)
    if not _is_same(found, file):
        rule = f'{found} on this host is another version of {dotted}; install the same, or send="folder"'
        raise ParameterError("send", "file", rule)
    depth: int = file["name"].count("/")
    return found.parents[depth]


def _is_same(path: Path, file: Mapping[str, Any]) -> bool:
    try:
        if path.stat().st_size != file["size"]:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == str(file["sha256"])
    except (OSError, ValueError):  # a name with a null byte is no name
        return False


def _write(folder: Path, file: Mapping[str, Any], label: str) -> None:
    """Write one file, whole or not at all, unless it is there: its folder's name stands for its content."""
    is_inside = not any(part in ("", ".", "..") or "\0" in part for part in file["name"].split("/"))
    content = _content(file) if is_inside else b""
    if not is_inside or hashlib.sha256(content).hexdigest() != file["sha256"]:
        raise ParameterError("train", label, f"{file['name']!r} is not the file that was sent")
    path = folder / file["name"]
    if _is_same(path, file):
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _content(file: Mapping[str, Any]) -> bytes:
    try:
        data = base64.b64decode(file["data"], validate=True)
        return zlib.decompressobj().decompress(data, LIMIT)
    except (ValueError, TypeError, zlib.error):
        return b""


def _cwd(bundle: Bundle, root: Path | None) -> str | None:
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
