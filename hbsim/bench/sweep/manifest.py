"""What a sweep writes about itself, for readers of its results."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hbsim.bench.sweep.parquet import read_table
from hbsim.bench.sweep.study import FORMAT
from hbsim.errors import OutputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MANIFEST", "PLAN", "SPEC", "digest", "read_manifest", "read_plan", "versions", "written"]

MANIFEST: Final = "sweep.json"
SPEC: Final = "sweep.toml"
PLAN: Final = "plan.parquet"
SEAL: Final = "sha256"  # of the manifest's other fields


def written(content: Mapping[str, object], command: str) -> bytes:
    """Return the manifest's file: plain JSON, no clock."""
    manifest = {**content, "command": command, "versions": versions()}
    manifest[SEAL] = _seal(manifest)
    return (json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def versions() -> dict[str, str]:
    """Return the versions of what decides about the bytes of results."""
    libraries = ("hbsim", "numpy", "polars", "scipy", "simpy")
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}


def digest(content: bytes) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """Return what a sweep wrote about itself.

    Raises
    ------
    OutputError
        There is none, it is damaged, or it is of another version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
        found, by = manifest["format"], str(manifest["versions"]["hbsim"])
        is_whole = manifest.pop(SEAL, None) == _seal(manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(str(folder), f"has no {MANIFEST}: it is no folder of hbsim sweep") from None
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        raise OutputError(str(path), "is damaged: hbsim sweep --force runs all cells again") from None
    if found != FORMAT:
        problem = f"is of hbsim {by}, whose results have format {found}, and this one has {FORMAT}"
        raise OutputError(str(folder), f"{problem}: hbsim sweep --force runs all cells again")
    if not is_whole:
        raise OutputError(str(path), "is damaged: hbsim sweep --force runs all cells again")
    return manifest  # type: ignore[no-any-return]


def _seal(manifest: Mapping[str, object]) -> str:
    return digest(json.dumps(manifest, sort_keys=True).encode())


def read_plan(folder: Path, manifest: Mapping[str, Any]) -> pl.DataFrame:
    """Return the sweep's cells.

    Raises
    ------
    OutputError
        The file is not the one that belongs to the manifest, or cannot be read.
    """
    path = folder / PLAN
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
    if digest(content) != manifest["plan"]:
        problem = f"does not belong to {MANIFEST}: the same hbsim sweep as before writes it again"
        raise OutputError(str(path), problem)
    return read_table(path)
