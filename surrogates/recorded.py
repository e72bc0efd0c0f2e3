"""What a file of recorded curves holds, before anything is decided about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hbsim.core.space import Space
from hbsim.errors import SurrogateError, nearest
from hbsim.surrogates.protocol import Floats

if TYPE_CHECKING:
    import polars

__all__ = ["SAID", "Recorded"]

SAID: Final = ("metric", "mode", "test_metric", "time")  # what a file may say of itself, as text


@dataclass(frozen=True)
class Recorded:
    """Curves of n configurations at T levels, as they were recorded.

    Attributes
    ----------
    source : str
        The file.
    levels : array, shape (T,)
        Ascending, from 0 at least; level 0 is the untrained state.
    columns : mapping of str to array
        By name, shape (n, T): metrics and cumulative seconds; NaN where nothing was recorded.
    configurations : polars.DataFrame
        n rows: what each configuration was called, its hyperparameters, and whatever else is known.
    metadata : mapping of str to str
        What the file itself says of `metric`, `mode`, `time` and `test_metric`.
    space : Space or None
        The search space, where the file itself gives it.
    time : str
        What the column of cumulative seconds is called unless another name is given.
    hyperparameters : tuple of str
        Which columns of `configurations` are hyperparameters.
    named_metrics : tuple of str
        The metrics, where the file itself says which of the columns they are; else empty.
    """

    source: str
    levels: Floats
    columns: Mapping[str, Floats]
    configurations: polars.DataFrame
    metadata: Mapping[str, str]
    space: Space | None
    time: str
    hyperparameters: tuple[str, ...] = ()
    named_metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.configurations)
        if n == 0 or not (self.levels > 0).any():
            raise SurrogateError(self.source, "the table is empty: it needs rows, and a level above 0")
        if n == 1:
            raise SurrogateError(self.source, "the table has one row; ranks need at least two")

    def trained(self) -> Recorded:
        """Return the same without level 0, the untrained state, at which nothing can be decided."""
        if self.levels[0] > 0:
            return self
        columns = {name: column[:, 1:] for name, column in self.columns.items()}
        return replace(self, levels=self.levels[1:], columns=columns)

    @property
    def metrics(self) -> list[str]:
        """The names that a metric may have."""
        named = [name for name in self.named_metrics if name in self.columns]
        return named or [name for name in self.columns if name != self.time]

    def column(self, field: str, name: str) -> Floats:
        """Return a column, or raise a SurrogateError that names the near ones; `field` asked for it."""
        if name not in self.columns:
            there = ", ".join(self.columns) or "none"
            problem = f"{field}={name!r} is not in the table; columns: {there}."
            raise SurrogateError(self.source, problem + nearest(name, self.columns))
        return self.columns[name]
