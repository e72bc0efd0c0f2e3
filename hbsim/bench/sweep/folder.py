"""The folder of a sweep: what may be in it, and what is there already."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from hbsim.bench.sweep.store import PARTS, TABLES, Store
from hbsim.bench.sweep.study import FORMAT
from hbsim.errors import OutputError, ParameterError
from hbsim.history.lock import StudyLock

if TYPE_CHECKING:
    from hbsim.bench.sweep.sweep import Sweep

__all__ = ["ANYTIME", "MANIFEST", "PLAN", "SPEC", "look_into", "open_folder", "read_manifest", "write_down"]

MANIFEST: Final = "sweep.json"
SPEC: Final = "sweep.toml"
PLAN: Final = "plan.parquet"
ANYTIME: Final = "anytime"
OURS: Final = frozenset(
    {MANIFEST, SPEC, PLAN, PARTS, ".closing", *(f"{name}.parquet" for name in (*TABLES, ANYTIME))}
)


@contextmanager
def open_folder(out: Path, plan: pl.DataFrame, force: bool) -> Iterator[Store]:
    """Give what is finished in a folder, which is made if it is not there, to this process alone.

    Parameters
    ----------
    out : path
        Does not exist, is empty, or is a sweep's.
    plan : polars.DataFrame
        The cells that are wanted.
    force : bool
        Whether what a sweep left there may be replaced.

    Raises
    ------
    ParameterError
        The folder holds something else, another sweep, or one of another version (field ``out``).
    OutputError
        It cannot be read or made, or another process is at it.
    """
    there = _look(out)
    if there and MANIFEST not in there:
        raise ParameterError("out", str(out), "is a folder with files that hbsim sweep did not write")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(out), f"cannot be made: {error.strerror or error}") from error
    with StudyLock(out):
        if there and force:
            _clear(out, there)
        elif there:
            _check_version(out)
        store = Store(out)
        if store.status and not set(plan["key"]) & store.status.keys():
            rule = f"holds another sweep, with {len(store.status):,} cells; --force replaces it"
            raise ParameterError("out", str(out), rule)
        yield store


def look_into(out: Path) -> Store | None:
    """Return what is finished in a folder, None if it is no sweep's; nothing is made."""
    return Store(out) if MANIFEST in _look(out) else None


def write_down(sweep: Sweep, out: Path, command: str) -> None:
    """Write what is wanted: the file, the cells, and what a reader needs beside the results.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    manifest = {**sweep.manifest(), "command": command, "versions": versions()}
    try:
        _replace(out / SPEC, sweep.source.text.encode())
        _replace(out / PLAN, _parquet(sweep.plan))
        _replace(out / MANIFEST, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise OutputError(str(out), f"cannot be written: {error.strerror or error}") from error


def versions() -> dict[str, str]:
    """Return the versions of what decides about the bytes of results."""
    libraries = ("hbsim", "numpy", "polars", "scipy", "simpy")
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}


def _replace(path: Path, content: bytes) -> None:
    """Write a file, or leave the one that is there."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _look(out: Path) -> set[str]:
    """Return the names of what is in a folder, the lock aside; empty if it is not there."""
    try:
        return {path.name for path in out.iterdir()} - {"lock"}
    except FileNotFoundError:
        return set()
    except NotADirectoryError:
        raise ParameterError("out", str(out), "is a file; give a folder") from None
    except OSError as error:
        raise OutputError(str(out), f"cannot be read: {error.strerror or error}") from error


def _clear(out: Path, there: set[str]) -> None:
    if others := sorted(there - OURS):
        rule = f"holds {others[0]}, which hbsim sweep did not write; move it away first"
        raise ParameterError("out", str(out), rule)
    for name in sorted(there):
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_version(out: Path) -> None:
    manifest = read_manifest(out)
    now = version("hbsim")
    if manifest["versions"]["hbsim"] != now:
        rule = (
            f"is of hbsim {manifest['versions']['hbsim']}, and this is {now}: studies of two versions do not "
        )
        raise ParameterError("out", str(out), rule + "mix; --force runs all of them again")


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """Return what a sweep wrote about itself.

    Raises
    ------
    OutputError
        There is none, or it is of another version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
        found = manifest["format"]
        manifest["versions"]["hbsim"], manifest["tasks"], manifest["variants"]
    except FileNotFoundError:
        raise OutputError(str(folder), f"has no {MANIFEST}: it is no folder of hbsim sweep") from None
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError):
        raise OutputError(str(path), "is damaged, or none of hbsim sweep's") from None
    if found != FORMAT:
        by = manifest["versions"]["hbsim"]
        problem = f"is of hbsim {by}, whose results have format {found}; this one reads {FORMAT}: sweep again"
        raise OutputError(str(folder), problem)
    return manifest  # type: ignore[no-any-return]
