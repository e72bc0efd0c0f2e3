"""What the classes check about what they are given; every failure is a ParameterError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hbsim.core.exact import exact
from hbsim.errors import ParameterError, nearest
from hbsim.executors.dask.options import Dask
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


def executor_of(executor: object, addresses: object) -> Dask | str:
    """Return where a study runs: ``"local"``, ``"sim"``, or a Dask cluster, of these hosts if there are any.

    Raises
    ------
    ParameterError
        It is no executor, or does not go with the hosts.
    """
    if not isinstance(executor, Dask):
        one_of("executor", executor, EXECUTORS)
    hosts = _hosts(addresses)
    if not hosts:
        return Dask() if executor == "dask" else executor if isinstance(executor, Dask) else str(executor)
    if executor == "sim":
        rule = "are for real studies: executor='sim' simulates on this machine"
        raise ParameterError("dist_ip_addrs", addresses, rule)
    if isinstance(executor, Dask):
        rule = "go without an hbsim.Dask, which says where the cluster is: hbsim.Dask(hosts=[...])"
        raise ParameterError("dist_ip_addrs", addresses, rule)
    try:
        return Dask(hosts=hosts)
    except ParameterError as error:
        rule = error.rule.replace("ssh_user", "executor=hbsim.Dask(hosts=..., ssh_user=...)")
        raise ParameterError("dist_ip_addrs", error.value, rule) from None


def _hosts(addresses: object) -> tuple[str, ...]:
    if addresses is None:
        return ()
    if isinstance(addresses, str) or not isinstance(addresses, Sequence):
        raise ParameterError("dist_ip_addrs", addresses, "must be a list of addresses")
    return tuple(addresses)
