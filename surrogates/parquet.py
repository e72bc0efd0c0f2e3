"""Readers and writers of Parquet files: hbsim's own carry a seal, others are read in a separate process.

On a damaged file polars may end the process, panic, or ask for impossible amounts of memory, and no check of
the file can rule this out. A file that hbsim wrote and nobody changed proves it by the SHA-256
digest of its bytes, and is read in this process. A child process reads any other file and sends its content.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl

if TYPE_CHECKING:
    from hashlib import _Hash

Notes: TypeAlias = dict[str, str]

SEAL: Final = "hbsim.sha256"
_BLANK: Final = 64 * "0"  # stands in for the digest while the digest is computed
# A key and its value in the file's footer, as Thrift's compact protocol writes them: 12 bytes, then 64.
_MARK: Final = b"\x18\x0c" + SEAL.encode() + b"\x18\x40"
_CHILD: Final = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
import polars
content = sys.stdin.buffer.read()
try:
    frame = polars.read_parquet(content)
    notes = getattr(polars, "read_parquet_metadata", lambda content: {})(content)
except Exception as error:
    print(str(error) or type(error).__name__, file=sys.stderr)
    sys.exit(3)
sys.stdout.buffer.write(json.dumps(notes).encode() + b"\\n")
frame.write_ipc(sys.stdout.buffer)
"""


class Damaged(ValueError):
    """An error: a file is no Parquet, or damaged; its text gives the evidence in one line."""


def parquet(
    frame: pl.DataFrame, metadata: Mapping[str, str] | None = None, level: int | None = None
) -> bytes:
    """Return a table as the content of a file, sealed: the same bytes for the same rows.

    Parameters
    ----------
    frame : polars.DataFrame
        The table.
    metadata : mapping of str to str, optional
        Key-value metadata.
    level : int, optional
        The level of zstd's compression; higher levels give smaller files.
    """
    buffer = io.BytesIO()
    # Rechunked, else the bytes would depend on how the frame was built.
    metadata = {**(metadata or {}), SEAL: _BLANK}
    frame.rechunk().write_parquet(buffer, compression="zstd", compression_level=level, metadata=metadata)
    content = buffer.getvalue()
    place = content.rindex(_MARK) + len(_MARK)
    return content[:place] + _digest(content, place).encode() + content[place + len(_BLANK) :]


def read_parquet(path: Path) -> tuple[pl.DataFrame, Notes]:
    """Read a file, and its key-value metadata.

    Raises
    ------
    Damaged
        The file is no Parquet, or damaged.
    OSError
        It cannot be read.
    """
    content = path.read_bytes()
    if _is_sealed(content):
        return pl.read_parquet(content), dict(pl.read_parquet_metadata(content))
    return _by_child(content)


def read_sealed(path: Path) -> pl.DataFrame:
    """Read a file that `parquet` made.

    Raises
    ------
    Damaged
        The file has changed since it was made.
    OSError
        It cannot be read.
    """
    content = path.read_bytes()
    if not _is_sealed(content):
        raise Damaged("the file is not as hbsim wrote it")
    return pl.read_parquet(content)


def _is_sealed(content: bytes) -> bool:
    place = content.rfind(_MARK) + len(_MARK)
    found = content[place : place + len(_BLANK)]
    return place >= len(_MARK) and found == _digest(content, place).encode()


def _digest(content: bytes, place: int) -> str:
    """Return the digest of a file in which the seal, at `place`, is blank."""
    digest: _Hash = hashlib.sha256(memoryview(content)[:place])
    digest.update(_BLANK.encode())
    digest.update(memoryview(content)[place + len(_BLANK) :])
    return digest.hexdigest()


def _by_child(content: bytes) -> tuple[pl.DataFrame, Notes]:
    command = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path)]
    ran = subprocess.run(command, input=content, capture_output=True, check=False)
    if ran.returncode == 3:
        raise Damaged(ran.stderr.decode("utf-8", "replace").splitlines()[0])
    if ran.returncode:
        raise Damaged("the file is damaged: a process that reads it fails")
    notes, _, table = ran.stdout.partition(b"\n")
    return pl.read_ipc(table), json.loads(notes)
