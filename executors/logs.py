"""Trials' logs: what a trial prints without end must not fill the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["LIMIT", "trim"]

LIMIT: Final = 64 << 20  # bytes
KEPT: Final = 1 << 20  # bytes of each end


def trim(path: Path, limit: int = LIMIT, kept: int = KEPT) -> bool:
    """Cut the middle out of a log that is longer than `limit`; return whether it was.

    Whoever writes to it appends, so it may go on meanwhile; a little of that may be cut too.

    Parameters
    ----------
    path : Path
        The log; it need not exist.
    limit, kept : int
        Bytes: the most it may have, and how much of its beginning and of its end stays.
    """
    try:
        size = path.stat().st_size
        if size <= limit:
            return False
        with path.open("r+b") as file:
            head = file.read(kept)
            file.seek(max(kept, size - kept))
            tail = file.read()
            note = f"\n[... {size - 2 * kept:,} bytes were cut here ...]\n".encode()
            os.ftruncate(file.fileno(), 0)
            file.seek(0)
            file.write(head + note + tail)
    except OSError:
        return False
    return True
