"""What the statistics refuse."""

from __future__ import annotations

import importlib
import math

import numpy as np

from hbsim.errors import ParameterError
from hbsim.surrogates.protocol import Floats

__all__ = ["check_above_zero", "check_lengths", "check_share", "need_report"]


def check_share(field: str, value: float) -> None:
    """Refuse a level or a power that is not in (0, 1)."""
    if not 0.0 < value < 1.0:
        raise ParameterError(field, value, "must be above 0 and below 1")


def check_above_zero(field: str, value: float) -> None:
    """Refuse what is not a finite number above 0."""
    if not (math.isfinite(value) and value > 0.0):
        raise ParameterError(field, value, "must be a finite number above 0")


def check_lengths(first: str, one: Floats, second: str, other: Floats) -> None:
    """Refuse arrays that are not one-dimensional and of one length."""
    if np.ndim(one) != 1 or np.shape(one) != np.shape(other):
        rule = f"must be one-dimensional and of the same length as {first}, {np.shape(one)}"
        raise ParameterError(second, np.shape(other), rule)


def need_report(package: str) -> None:
    """Refuse to go on without a package of the extra `report`."""
    try:
        importlib.import_module(package)
    except ImportError:
        raise ParameterError(
            package, "not installed", "install the extra: pip install 'hbsim[report]'"
        ) from None
