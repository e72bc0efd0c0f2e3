"""The metric with the other sign."""

from __future__ import annotations

from hbsim.surrogates.protocol import Floats, Ints
from hbsim.surrogates.wrapper import Wrapper

__all__ = ["Negated"]


class Negated(Wrapper):
    """The metric with the other sign: what was maximised is minimised, and the other way round.

    Ranks, and so decisions and regrets, are the same. NaN stays NaN. The held-out metric changes its
    sign as well.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    """

    def __init__(self, surrogate: object) -> None:
        super().__init__(surrogate, "negate", {})
        self.mode = "min" if self.wrapped.mode == "max" else "max"
        metric = self.wrapped.metric
        self.metric = metric[1:] if metric.startswith("-") else f"-{metric}"

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric with the other sign, and cumulative seconds, shapes (n, m)."""
        values, seconds = self.wrapped.evaluate(configurations, levels)
        return 0.0 - values, seconds  # which makes no -0.0

    def optimum(self, level: float) -> float | None:
        """Return the optimum within with the other sign, None where that is unknown."""
        best = self.wrapped.optimum(level)
        return None if best is None else 0.0 - best

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric with the other sign, shape (n,), None where there is none."""
        tests = self.wrapped.test_values(configurations, level)
        return None if tests is None else 0.0 - tests
