"""Files of users, as modules."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

__all__ = ["source_spec"]


class _Source(SourceFileLoader):
    """Compiles a file each time.

    Python tells cached bytecode by the file's size and its time in whole seconds. A file that was changed
    twice in a second, to the same size, would run as it was before.
    """

    def path_stats(self, path: str) -> Mapping[str, object]:
        """Say that nothing is known of the file's age: no bytecode is read or written then."""
        raise OSError(path)


def source_spec(name: str, path: Path) -> ModuleSpec | None:
    """Return how to execute a file as a module of this name; None if it is no Python source."""
    if path.suffix != ".py":
        return None
    return importlib.util.spec_from_file_location(name, path, loader=_Source(name, str(path)))
