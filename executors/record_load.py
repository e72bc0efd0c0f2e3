"""Load a training function from ``FILE.py:NAME``, with its search space."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from hbsim.core.space import Space, space_of
from hbsim.errors import HbsimError, ParameterError, nearest
from hbsim.executors.definitions import execute, file_spec

__all__ = ["Train", "load_train"]


@dataclass(frozen=True)
class Train:
    """A training function and where it came from.

    Attributes
    ----------
    function : callable
        ``function(args, reporter)``, decorated with `hbsim.args`.
    space : Space
        The search space that the decorator gave it.
    label : str
        ``FILE.py:NAME`` without the folder.
    digest : str
        SHA-256 of the file, in hexadecimal digits.
    """

    function: Callable[..., object]
    space: Space
    label: str
    digest: str


def load_train(target: str) -> Train:
    """Load the training function `target`, written ``FILE.py:NAME``.

    The file's folder comes first on the module path, so that it can import what lies beside it.

    Raises
    ------
    ParameterError
        If there is no such file or name, the file raises, or the function has no search space.
    """
    path, name = split_target(target)
    function = getattr(_execute(target, path), name)
    if not callable(function):
        raise ParameterError("train", target, f"{name} is no function")
    try:
        space = space_of(function)
    except HbsimError as error:
        raise ParameterError(
            "train",
            target,
            f"{name} needs a search space: put @hbsim.args(lr=hbsim.Real(1e-4, 1), ...) above it",
        ) from error
    return Train(function, space, f"{path.name}:{name}", hashlib.sha256(path.read_bytes()).hexdigest())


def split_target(target: str) -> tuple[Path, str]:
    """Split ``FILE.py:NAME`` into an existing file and a name.

    Raises
    ------
    ParameterError
        If it is not of that form, or there is no such file.
    """
    file, colon, name = target.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise ParameterError("train", target, "must be FILE.py:NAME, a Python file and a function in it")
    path = Path(file)
    if not path.is_file():
        raise ParameterError("train", target, f"there is no file {file}")
    return path.resolve(), name


def _execute(target: str, path: Path) -> ModuleType:
    name = target.rpartition(":")[2]
    sys.path.insert(0, str(path.parent))
    module = execute(file_spec(path), target).module
    if not hasattr(module, name):
        names = [key for key, value in vars(module).items() if callable(value)]
        raise ParameterError("train", target, f"there is no {name!r} in {path.name}.{nearest(name, names)}")
    return module
