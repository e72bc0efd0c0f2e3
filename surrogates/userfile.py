"""A surrogate from a user's Python file: ``FILE.py:NAME``."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from hbsim.errors import SurrogateError, nearest
from hbsim.source import source_spec
from hbsim.surrogates.checked import Checked, describe_exception

__all__ = ["load_file"]


def load_file(spec: str) -> Checked:
    """Import ``FILE.py:NAME``; a class is made without arguments, an object is taken as it is.

    Raises
    ------
    SurrogateError
        The file is not there or raises, it has no such name, or what it names is no surrogate.
    """
    path, _, name = spec.rpartition(":")
    module = _import(Path(path))
    if not hasattr(module, name):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise SurrogateError(path, f"has no {name!r}.{nearest(name, names)}")
    found = getattr(module, name)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise SurrogateError(path, f"{name}() raised {describe_exception(error)}") from error
    return Checked(found, name=name)


def _import(path: Path) -> ModuleType:
    """Run the file as a module of its own, its folder first on the import path meanwhile."""
    if not os.path.isfile(path):
        raise SurrogateError(str(path), "no such file")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"_hbsim_user_{digest}"
    spec = source_spec(name, path)
    if spec is None or spec.loader is None:
        raise SurrogateError(str(path), "cannot be imported: give a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise SurrogateError(str(path), f"raised {describe_exception(error)}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    return module
