"""Specs of users' Python files as modules."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

__all__ = ["source_spec"]


class _Source(SourceFileLoader):
    """A loader that compiles a file at each import.

    Python identifies cached bytecode by the file's size and its time in whole seconds. If a file was changed
    twice in a second without a change of size, its old bytecode would run.
    """

    def path_stats(self, path: str) -> Mapping[str, object]:
        """Raise an error, so that bytecode is neither read nor written."""
        raise OSError(path)


def source_spec(name: str, path: Path) -> ModuleSpec | None:
    """Return the spec of a file as a module with this name; None if the file is no Python source."""
    if path.suffix != ".py":
        return None
    return importlib.util.spec_from_file_location(name, path, loader=_Source(name, str(path)))
