"""The options of a searcher in plain JSON types, for journals and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from hbsim.errors import ParameterError

__all__ = ["plain_options"]


def plain_options(options: Mapping[str, object] | None) -> dict[str, object]:
    """Return options in plain JSON types; a function by its name, and without its file's folder.

    Raises
    ------
    ParameterError
        A value is neither a function nor of a JSON type.
    """
    plain = {name: _plain(f"search_options.{name}", value) for name, value in (options or {}).items()}
    if isinstance(constraint := plain.get("constraints"), str):
        plain["constraints"] = constraint.replace("\\", "/").rpartition("/")[2]
    return plain


def _plain(field: str, value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(field, item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(field, item) for item in value]
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__name__))
    raise ParameterError(field, value, "must be a number, text, a list or a dict of these, or a function")
