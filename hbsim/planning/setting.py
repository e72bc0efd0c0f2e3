"""The setting of a plan: machines, budget, levels and the shortlist of variants, checked before any work."""

from __future__ import annotations

import dataclasses
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from hbsim.bench.variants import Variant, complete, variant_tables
from hbsim.core.numbers import exact
from hbsim.errors import ParameterError, nearest
from hbsim.options import option
from hbsim.surrogates.protocol import Floats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hbsim.simulation import Cluster

HOUR: Final = 3600.0
# Seconds of each unit of time in a budget.
TIMES: Final = {"s": 1.0, "min": 60.0, "h": HOUR, "d": 24 * HOUR}
RUNS: Final = "runs"
MONEY: Final = ("usd", "eur", "gbp", "money")
DEFAULT: Final = "promotion"
WHAT_IF: Final = ("workers", "budget")
# How far studies are simulated: so many full runs on all workers together, but so many on each at least.
SIMULATED: Final = 100.0
SIMULATED_EACH: Final = 3.0


@dataclass(frozen=True)
class Budget:
    """What may be spent: an amount and its unit, as in ``24h``, ``500usd`` or ``30runs``.

    Attributes
    ----------
    amount : float
        Above 0.
    unit : str
        One of `TIMES`, of `MONEY`, or ``runs``.
    """

    amount: float
    unit: str

    def __str__(self) -> str:
        """Return the text of it."""
        return f"{self.amount:.12g}{self.unit}"

    @classmethod
    def parse(cls, text: object, field: str = "budget") -> Budget:
        """Read a budget.

        Raises
        ------
        ParameterError
            It is none, or not above 0.
        """
        if isinstance(text, Budget):
            return text
        rule = "must be a time (24h, 2d, 90min, 3600s), full runs (30runs) or money (500usd)"
        if isinstance(text, int | float) and not isinstance(text, bool):
            amount, unit = float(exact(field, text)), "s"
        else:
            found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", str(text).lower())
            if found is None:
                raise ParameterError(field, text, rule)
            amount, unit = float(found[1]), {"": "s", "run": RUNS, "m": "min"}.get(found[2], found[2])
        if unit not in (*TIMES, *MONEY, RUNS):
            raise ParameterError(field, text, rule)
        if not 0 < amount < math.inf:
            raise ParameterError(field, text, "must be above 0")
        return cls(amount, unit)

    def seconds(self, cluster: Cluster, full_run: float) -> float:
        """Return for how long it lasts.

        Parameters
        ----------
        cluster : Cluster
            Its machines and their prices.
        full_run : float
            Seconds of training of a typical configuration, from 0 to max_t.

        Raises
        ------
        ParameterError
            It is money, and the cluster has no prices.
        """
        if self.unit in TIMES:
            return self.amount * TIMES[self.unit]
        if self.unit == RUNS:
            return self.amount * full_run / math.fsum(cluster.speeds)
        an_hour = math.fsum(cluster.prices)
        if not an_hour > 0:
            rule = "needs what the machines cost: give a price, or a cluster that has one"
            raise ParameterError("budget", str(self), rule)
        return self.amount / an_hour * HOUR


def _budget(field: str, value: object) -> str:
    return str(Budget.parse(value, field))


def _positive(field: str, value: object) -> float | None:
    if value is None:
        return None
    number = float(exact(field, value))
    if number <= 0:
        raise ParameterError(field, value, "must be above 0")
    return number


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options of `hbsim.plan` that no other command has."""

    budget: str = option(
        metavar="24h|500usd|30runs",
        check=_budget,
        help="What you can spend: time, money by the cluster's price, or the training time of full runs.",
    )
    unit_seconds: float | None = option(
        None,
        takes="number",
        check=_positive,
        help="Seconds that a unit of max_t trains on average; needed without a pilot, unless the budget is "
        "in runs.",
    )
    pilot: Any = option(
        None,
        metavar="DIR|FILE|NAME",
        help="Ten or more learning curves of your task: a study's folder, or a file of curves.",
    )
    what_if: Any = option(
        None,
        takes="texts",
        metavar="NAME=VALUE,...",
        help="Forecast also for workers=4,8,16 or budget=12h,24h; may be given several times.",
    )


@dataclass(frozen=True)
class Setting:
    """A user's setting.

    Attributes
    ----------
    max_t, grace_period : float
        R, and the lowest rung level.
    cluster : Cluster
        The machines.
    budget : Budget
        What may be spent.
    unit_seconds : float or None
        Mean seconds of training of a unit; None: a full run is the unit of time.
    """

    max_t: float
    grace_period: float
    cluster: Cluster
    budget: Budget
    unit_seconds: float | None

    @property
    def full_run(self) -> float:
        """The seconds that a full run trains at speed 1, on average; 1 where nothing says it."""
        return 1.0 if self.unit_seconds is None else self.max_t * self.unit_seconds

    @cached_property
    def max_time(self) -> float:
        """For how long the study runs: seconds, or full runs where nothing says how long these are."""
        return self.budget.seconds(self.cluster, self.full_run)

    @cached_property
    def horizon(self) -> float:
        """Until when the study is simulated; later its counts go on at the same rate."""
        cluster = self.cluster
        if cluster.schedule or cluster.trace is not None:  # rates change with the machines that are there
            return self.max_time
        speed = math.fsum(cluster.speeds)
        runs = max(SIMULATED / speed, SIMULATED_EACH * cluster.workers / speed)
        return min(self.max_time, runs * self.full_run)

    @property
    def simulated_runs(self) -> float:
        """How many full runs of training all workers together have time for in a simulation."""
        return self.horizon * math.fsum(self.cluster.speeds) / self.full_run

    @property
    def simulated_trials(self) -> float:
        """About how many trials of the default variant start in a simulation: each level costs the same."""
        levels = self.variants()[0].make("max", 0).levels
        return max(1.0, self.simulated_runs * self.max_t / (levels[0] * len(levels)))

    def check(self) -> None:
        """Check that the budget buys a full run.

        Raises
        ------
        ParameterError
            It does not, or its time cannot be known.
        """
        if self.unit_seconds is None:
            rule = "is needed: the seconds that a unit of max_t trains; or give a pilot, or a budget in runs"
            if self.budget.unit != RUNS:
                raise ParameterError("unit_seconds", None, f"{rule}, as 30runs")
            if dataclasses.replace(self.cluster, workers=self.cluster.workers) != _bare(self.cluster):
                raise ParameterError(
                    "unit_seconds", None, f"{rule} without a cluster whose costs are seconds"
                )
        longest = self.full_run / max(self.cluster.speeds)
        if self.max_time < longest:
            share = self.max_time / longest
            rule = f"is over after {share:.2g} of a full run: nothing would reach max_t={self.max_t:g}"
            if self.budget.unit == RUNS:
                rule += f" (all {self.cluster.workers} workers share it)"
            raise ParameterError("budget", str(self.budget), rule)

    def with_(self, workers: int | None = None, budget: Budget | None = None) -> Setting:
        """Return the setting with other workers, or another budget.

        Raises
        ------
        ParameterError
            The cluster's machines say how many workers there are, or the budget buys not one full run.
        """
        cluster = self.cluster
        if workers is not None and workers != cluster.workers:
            if cluster.machines or cluster.trace is not None or cluster.schedule:
                rule = "the cluster's machines say how many workers there are: name another cluster"
                raise ParameterError("what_if", f"workers={workers}", rule)
            if isinstance(cluster.speed, tuple):
                rule = "the cluster has a speed for each of its workers: name another cluster"
                raise ParameterError("what_if", f"workers={workers}", rule)
            cluster = dataclasses.replace(cluster, workers=workers)
        made = dataclasses.replace(self, cluster=cluster, budget=budget or self.budget)
        made.check()
        return made

    def around(self) -> list[Setting]:
        """Return this setting between those with half and twice the workers, where these make sense."""
        count, found = self.cluster.workers, [self]
        for workers in (count // 2, 2 * count):
            with suppress(ParameterError):
                other = self.with_(workers)
                found.insert(0 if workers < count else len(found), other)
        return found if len(found) > 1 else []

    def variants(self) -> list[Variant]:
        """Return the shortlist, the default first, without those that the ladder has no room for."""
        given = {"max_t": self.max_t, "grace_period": self.grace_period}
        default = complete(DEFAULT, DEFAULT, {}, given)
        levels = default.make("max", 0).levels
        later = [f"{DEFAULT},grace_period={levels[1]:g}"] if len(levels) > 2 else []
        texts = (
            "stopping",
            *(f"{DEFAULT},reduction_factor={eta}" for eta in (2, 4)),
            *later,
            f"{DEFAULT},brackets=3",
            "stopping,brackets=3",
            "hyperband",
            "fifo",
        )
        found = [default]
        for table in variant_tables(texts):
            kind = str(table.pop("type"))
            own: Mapping[str, Any] = table
            text = ",".join([kind, *(f"{name}={value}" for name, value in own.items())])
            if own.get("brackets", 1) <= len(levels) - 1:
                found.append(complete(text, kind, own, given))
        return found


def _bare(cluster: Cluster) -> Cluster:
    from hbsim.simulation import Cluster

    return Cluster(workers=cluster.workers, price=cluster.price)


def ladder(variants: Sequence[Variant]) -> Floats:
    """Return all levels at which these variants decide, ascending."""
    import numpy as np

    levels = {level for variant in variants for level in variant.make("max", 0).levels}
    return np.array(sorted(levels), dtype=np.float64)


def parse_what_if(given: object) -> dict[str, list[Any]]:
    """Read what else is forecast: texts ``workers=4,8``, or a mapping of names to lists.

    Raises
    ------
    ParameterError
        A name is unknown, or a value breaks its rule.
    """
    from hbsim.core.numbers import whole

    if given is None:
        return {}
    if isinstance(given, str):
        given = [given]
    items: list[tuple[str, object]] = []
    if isinstance(given, dict):
        items = list(given.items())
    else:
        for text in given:  # type: ignore[attr-defined]
            name, equals, values = str(text).partition("=")
            if not equals:
                raise ParameterError("what_if", text, "must be NAME=VALUE,... as in workers=4,8,16")
            items.append((name.strip(), values.split(",")))
    found: dict[str, list[Any]] = {}
    for name, listed in items:
        if name not in WHAT_IF:
            rule = f"must be about {' or '.join(WHAT_IF)}.{nearest(name, WHAT_IF)}"
            raise ParameterError("what_if", name, rule)
        many = list(listed) if isinstance(listed, list | tuple) else [listed]
        if name in found or not many:
            raise ParameterError("what_if", name, "must be given once, with values")
        if name == "budget":
            found[name] = [Budget.parse(one, "what_if") for one in many]
        else:
            found[name] = [whole("what_if", _number(one), 1) for one in many]
    return found


def _number(text: object) -> object:
    try:
        return int(text) if isinstance(text, str) else text
    except ValueError:
        raise ParameterError("what_if", f"workers={text}", "must be a whole number of at least 1") from None
