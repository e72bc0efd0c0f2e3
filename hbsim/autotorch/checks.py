"""What the classes check about what they are given; every failure is a ParameterError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hbsim.core.numbers import exact
from hbsim.errors import ParameterError, nearest
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.searchers import SEARCHERS, Searcher

__all__ = [
    "EXECUTORS",
    "MAX_REWARD",
    "executor_of",
    "flag",
    "one_of",
    "reward",
    "searcher_of",
]


EXECUTORS: Final = ("local", "sim", "dask")
BAYESOPT: Final = "bayesopt"  # AutoTorch's name of a searcher


class _Default(float):
    """A number that was not given: equal to it, and still another object."""


# The best accuracy there is. Of a loss it would be no end worth having: with mode="min" it only
# counts where the user wrote it.
MAX_REWARD: Final = _Default(1.0)


def flag(name: str, value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise ParameterError(name, value, "must be True or False")
    return value


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    """Return one of some words."""
    if not isinstance(value, str) or value not in choices:
        rule = f"must be one of {', '.join(choices)}.{nearest(str(value), choices)}"
        raise ParameterError(name, value, rule)
    return value


def reward(value: object, mode: str) -> float | None:
    """Return the reward that ends a study, or None."""
    if value is None or (value is MAX_REWARD and mode == "min"):
        return None
    return float(exact("max_reward", value))


def searcher_of(searcher: str | Searcher | None, bayesopt: str) -> str | Searcher | None:
    """Return the searcher; AutoTorch's ``"bayesopt"`` is `bayesopt` here.

    Raises
    ------
    ParameterError
        It is nearly that name.
    """
    if not isinstance(searcher, str):
        return searcher
    if searcher == BAYESOPT:
        return bayesopt
    names = (BAYESOPT, *SEARCHERS)
    if BAYESOPT in (meant := nearest(searcher, names)):
        raise ParameterError("searcher", searcher, f"must be one of {', '.join(names)}.{meant}")
    return searcher


def executor_of(executor: object, addresses: object) -> Hosts | Dask | str:
    """Return where a study runs: ``"local"``, ``"sim"``, hosts, or a Dask cluster.

    Raises
    ------
    ParameterError
        It is no executor, or does not go with `addresses`, which are hosts, too.
    """
    if isinstance(executor, (list, tuple)):
        executor = Hosts(executor)
    if not isinstance(executor, Hosts | Dask):
        one_of("executor", executor, EXECUTORS)
    hosts = _hosts(addresses)
    if not hosts:
        return (
            Dask()
            if executor == "dask"
            else executor
            if isinstance(executor, Hosts | Dask)
            else str(executor)
        )
    if executor == "sim":
        rule = "are for real studies: executor='sim' simulates on this machine"
        raise ParameterError("dist_ip_addrs", addresses, rule)
    if isinstance(executor, Hosts | Dask):
        rule = f"go without an hbsim.{type(executor).__name__}, which says where trials run"
        raise ParameterError("dist_ip_addrs", addresses, rule)
    try:
        return Hosts(hosts)
    except ParameterError as error:
        raise ParameterError("dist_ip_addrs", error.value, error.rule) from None


def _hosts(addresses: object) -> tuple[str, ...]:
    if addresses is None:
        return ()
    if isinstance(addresses, str) or not isinstance(addresses, Sequence):
        raise ParameterError("dist_ip_addrs", addresses, "must be a list of addresses")
    return tuple(addresses)
