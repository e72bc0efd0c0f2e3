"""The folder of a sweep: what may be in it, and what is there already."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from hbsim.bench.sweep.store import PARTS, TABLES, Store
from hbsim.bench.sweep.study import FORMAT
from hbsim.errors import OutputError, ParameterError

__all__ = ["ANYTIME", "MANIFEST", "PLAN", "SPEC", "open_folder", "read_manifest"]

MANIFEST: Final = "sweep.json"
SPEC: Final = "sweep.toml"
PLAN: Final = "plan.parquet"
ANYTIME: Final = "anytime"
OURS: Final = frozenset(
    {MANIFEST, SPEC, PLAN, PARTS, "lock", ".closing", *(f"{name}.parquet" for name in (*TABLES, ANYTIME))}
)


def open_folder(out: Path, plan: pl.DataFrame, force: bool) -> Store:
    """Return what is finished in a folder, which is made if it is not there.

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
        It cannot be read or made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in out.iterdir()}
    except (FileExistsError, NotADirectoryError):
        raise ParameterError("out", str(out), "is a file; give a folder") from None
    except OSError as error:
        raise OutputError(str(out), f"cannot be made: {error.strerror or error}") from error
    if not there - {"lock"}:
        return Store(out)
    if MANIFEST not in there:
        raise ParameterError("out", str(out), "is a folder with files that hbsim sweep did not write")
    if force:
        _clear(out, there)
        return Store(out)
    _check_version(out)
    store = Store(out)
    if store.status and not set(plan["key"]) & store.status.keys():
        rule = f"holds another sweep, with {len(store.status):,} cells; --force replaces it"
        raise ParameterError("out", str(out), rule)
    return store


def _clear(out: Path, there: set[str]) -> None:
    if others := sorted(there - OURS):
        rule = f"holds {others[0]}, which hbsim sweep did not write; move it away first"
        raise ParameterError("out", str(out), rule)
    for name in sorted(there - {"lock"}):
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_version(out: Path) -> None:
    manifest = read_manifest(out)
    now = version("hbsim")
    if manifest["versions"]["hbsim"] != now:
        rule = f"is of hbsim {manifest['versions']['hbsim']}, and this is {now}: studies of two versions do not "
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
        manifest["versions"]["hbsim"], manifest["tasks"], manifest["variants"]  # noqa: B018 - there
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
