"""Users' Python files as modules."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType


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


def load_module(prefix: str, path: Path) -> ModuleType:
    """Run a Python file as a module of its own, whose name is a prefix and a digest of the path.

    An error that the file raises is passed on.
    """
    name = f"{prefix}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = source_spec(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("a .py file is needed")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
