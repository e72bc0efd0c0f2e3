"""A training function from ``FILE.py:NAME``, as a recording keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from hbsim.core.space import Space, space_of
from hbsim.executors.target import load_target, make_target, split_target

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
    function = load_target(make_target(target))
    return Train(
        function, space_of(function), f"{path.name}:{name}", hashlib.sha256(path.read_bytes()).hexdigest()
    )
