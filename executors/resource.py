"""What a trial needs: the `resource` of a study, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil, floor, isfinite
from numbers import Real

from hbsim.errors import ParameterError, nearest

__all__ = ["Need", "read_resource"]

_MOST_SHARING = 1_000_000
_KEYS = ("num_cpus", "num_gpus")
_CPUS_RULE = "num_cpus is a whole number, at least 1"
_GPUS_RULE = "num_gpus is 0, a whole number of GPUs, or a part of one, such as 0.5"


@dataclass(frozen=True, slots=True)
class Need:
    """What a trial needs.

    Attributes
    ----------
    given : mapping or None
        As the user wrote it.
    cpus, gpus : int or None
        How many CPU cores and GPUs a trial uses; None where nothing was said.
    sharing : int
        How many trials may share a GPU.
    """

    given: Mapping[str, object] | None = None
    cpus: int | None = None
    gpus: int | None = None
    sharing: int = 1

    def settled(self, workers: int | None, there: int) -> Need:
        """Choose the GPUs a trial if nothing was said: one, of which more workers than GPUs get a part."""
        if self.gpus is not None:
            return self
        if not there:
            return replace(self, gpus=0)
        return replace(self, gpus=1, sharing=ceil((workers or 1) / there))


def read_resource(resource: Mapping[str, object] | None) -> Need:
    """Read ``{"num_cpus": 2, "num_gpus": 0.5}``; each key may be absent.

    Raises
    ------
    ParameterError
        It has other keys, or a value that no machine could give.
    """
    if resource is None:
        return Need()
    if not isinstance(resource, Mapping):
        raise ParameterError("resource", resource, "is a mapping such as {'num_cpus': 2, 'num_gpus': 1}")
    for key in resource:
        if key not in _KEYS:
            rule = f"knows num_cpus and num_gpus, not {key!r}.{nearest(str(key), _KEYS)}"
            raise ParameterError("resource", resource, rule)
    cpus = _number(resource, "num_cpus", _CPUS_RULE)
    if cpus is not None and (cpus < 1 or cpus != floor(cpus)):
        raise ParameterError("resource", resource, _CPUS_RULE)
    gpus = _number(resource, "num_gpus", _GPUS_RULE)
    if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != floor(gpus))):
        raise ParameterError("resource", resource, _GPUS_RULE)
    need = Need(resource, None if cpus is None else int(cpus), None if gpus is None else ceil(gpus))
    if gpus is not None and 0 < gpus < 1:
        # 49 * (1 / 49) is a little less than 1, and 1 over almost nothing is infinite.
        return replace(need, sharing=floor(min(1 / gpus + 1e-9, _MOST_SHARING)))
    return need


def _number(resource: Mapping[str, object], key: str, rule: str) -> float | None:
    value = resource.get(key)
    if key not in resource:
        return None
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
            if isfinite(number):
                return number
    raise ParameterError("resource", resource, rule)
