"""Whether the kernel has killed a process of ours for want of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["OomWatch"]

# Of the control group, version 2 and 1, and of the whole machine: the first that can be read.
FILES: Final = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
    "/proc/vmstat",
)


class OomWatch:
    """Looks whether the kernel's count of such kills has risen since the last look.

    Parameters
    ----------
    files : sequence of str
        Where the count may be, in a line ``oom_kill N``.
    """

    def __init__(self, files: tuple[str, ...] = FILES) -> None:
        self._files = files
        self._count = self._read()

    def happened(self) -> bool:
        """Return whether there was one since the last call, or since the start."""
        before, self._count = self._count, self._read()
        return self._count > before

    def _read(self) -> int:
        for file in self._files:
            try:
                lines = Path(file).read_text().splitlines()
            except OSError:
                continue
            for line in lines:
                name, _, number = line.partition(" ")
                if name == "oom_kill" and number.strip().isdigit():
                    return int(number)
        return 0
