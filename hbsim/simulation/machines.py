"""Kinds of machines, and how many workers one of them has."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from hbsim.core.numbers import exact, whole
from hbsim.errors import ParameterError

__all__ = ["Machines", "share", "workers_of"]

_ROUNDING: Final = Fraction(1, 100)  # 0.33 is a third


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Machines of one kind.

    Parameters
    ----------
    kind : str
        Its name, such as ``"A100"``.
    count : int
        How many there are; at least 1.
    gpus : int
        GPUs of each; at least 1.
    speed : float
        Training speed, above 0; 2 halves the seconds of the curves.
    price : float
        An hour of one machine; at least 0.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    kind: str
    count: int
    gpus: int = 1
    speed: float = 1.0
    price: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or not self.kind.strip():
            raise ParameterError("kind", self.kind, "must be a name")
        for name in ("count", "gpus"):
            self._set(name, whole(name, getattr(self, name), 1))
        for name in ("speed", "price"):
            self._set(name, float(exact(name, getattr(self, name))))
        if self.speed <= 0:
            raise ParameterError("speed", self.speed, "must be above 0")
        if self.price < 0:
            raise ParameterError("price", self.price, "must be at least 0")
        for name, low in (("speed", 1e-9), ("price", 0.0)):  # others make times that no float holds
            if not low <= getattr(self, name) <= 1e12:
                raise ParameterError(name, getattr(self, name), f"must lie in [{low:g}, 1e12]")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the class is frozen


def share(gpus_per_trial: object) -> Fraction:
    """Return the GPUs of a trial: a whole number, or 1/k where it is that to a hundredth (0.33 is a third).

    Raises
    ------
    ParameterError
        It is neither (field ``gpus_per_trial``).
    """
    number = exact("gpus_per_trial", gpus_per_trial)
    if number >= 1 and number.denominator == 1:
        return number
    if 0 < number < 1:
        trials = round(1 / number)
        if trials > 1 and abs(number * trials - 1) <= _ROUNDING:
            return Fraction(1, trials)
    rule = "must be a whole number, or a share that k trials use up: 0.5, 0.33, 0.25 and so on"
    raise ParameterError("gpus_per_trial", gpus_per_trial, rule)


def workers_of(machines: Machines, gpus_per_trial: Fraction) -> int:
    """Return how many workers, each with `gpus_per_trial`, one of the machines has.

    Raises
    ------
    ParameterError
        The GPUs of a trial are no whole number or 1/k, or more than the machine has.
    """
    gpus = share(gpus_per_trial)
    if gpus > machines.gpus:
        rule = f"must be at most the GPUs of a machine: {machines.gpus} in each {machines.kind}"
        raise ParameterError("gpus_per_trial", int(gpus), rule)
    return int(machines.gpus / gpus)
