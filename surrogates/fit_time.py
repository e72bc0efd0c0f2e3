"""How long training takes: a rate a configuration, and one shape over the levels for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.errors import SurrogateError
from hbsim.surrogates.fit_regression import Regression, fit_regression
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["Clock", "fit_clock"]

ROUNDS: Final = 30
SAME: Final = 1e-6  # rates that differ by less are one rate


@dataclass(frozen=True)
class Clock:
    """Seconds are ``exp(rate) * shape``; a rate is the logarithm of seconds per unit until the end.

    Attributes
    ----------
    rates : Regression or None
        From features to a rate, one target; None where all rows take the same.
    usual : float
        The mean rate.
    residuals : array, shape (n,)
        How far each row's rate is from what the others predict; 0 where it is not known.
    known : array of int
        The rows whose rate is known, in the order of `rates`.
    shape : array, shape (T,)
        Units until each level, as far as time goes; at the last level its own.
    """

    rates: Regression | None
    usual: float
    residuals: Floats
    known: Ints
    shape: Floats

    def predict(self, features: Floats) -> Floats:
        """Return the rates that are expected at features (q, d), shape (q,)."""
        if self.rates is None:
            return np.full(len(features), self.usual)
        return self.rates.predict(features)[:, 0]


def fit_clock(source: str, features: Floats, seconds: Floats, levels: Floats, seed: int) -> Clock:
    """Fit rates and their shape.

    Parameters
    ----------
    source : str
        For errors.
    features : array, shape (n, d)
        Of each row.
    seconds : array, shape (n, T)
        Cumulative, above 0; NaN where not known.
    levels : array, shape (T,)
        Ascending, above 0.
    seed : int
        Of the regression.

    Raises
    ------
    SurrogateError
        No row takes any time.
    """
    per_unit = np.log(seconds / levels)
    there = np.isfinite(per_unit)
    known = np.flatnonzero(there.any(axis=1))
    if not known.size:
        raise SurrogateError(source, "no row takes any time; a fit needs seconds above 0")
    per_unit, there = per_unit[known], there[known]
    last = there.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
    at_end = np.take_along_axis(per_unit, last[:, None], axis=1)[:, 0]
    seen = np.flatnonzero(there.any(axis=0))
    bend = np.zeros(len(levels))
    for _ in range(ROUNDS):  # a row that ends early has its rate from the shape of the others
        rates = at_end - bend[last]
        bends = np.nanmedian(per_unit[:, seen] - rates[:, None], axis=0)
        bend = np.interp(levels, levels[seen], bends)
        bend -= bend[-1]
    rates = at_end - bend[last]
    residuals = np.zeros(len(seconds))
    usual = float(rates.mean())
    shape = np.maximum.accumulate(levels * np.exp(bend))
    if np.ptp(rates) < SAME:
        return Clock(None, usual, residuals, known, shape)
    found = fit_regression(features[known], rates[:, None], np.zeros((len(rates), 1)), seed)
    residuals[known] = rates - found.held_out[:, 0]
    return Clock(found, usual, residuals, known, shape)
