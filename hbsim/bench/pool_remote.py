"""Which Dask cluster runs the cells in place of this machine, and whether what it sends can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hbsim.errors import ParameterError
from hbsim.executors.dask.connect import is_trusted
from hbsim.executors.dask.options import Dask

__all__ = ["Remote"]

DANGER: Final = "whoever answers there, or sits between, can run anything here: results come as pickles"


@dataclass(frozen=True)
class Remote:
    """A Dask cluster.

    Attributes
    ----------
    options : Dask
        Where it is: its `scheduler_address`, or the `hosts` on which it is started and ends.
    insecure : bool
        Whether what comes over the network without TLS is trusted.
    processes : int, optional
        How many workers are started on each host; by default one a core there.
    files : tuple of str
        Whole paths of what every worker needs.
    say : callable
        Takes lines for people, on what takes a while.

    Raises
    ------
    ParameterError
        No cluster is named; or connections would go over a network without TLS, and `insecure` is not set:
        Dask's results are pickles, and to read one is to run what its sender wants.
    """

    options: Dask
    insecure: bool = False
    processes: int | None = None
    files: tuple[str, ...] = ()
    say: Callable[[str], None] = field(default=lambda text: None, repr=False, compare=False)

    def __post_init__(self) -> None:
        address, hosts = self.options.scheduler_address, self.options.hosts
        if address is None and not hosts:
            raise ParameterError("hosts", None, "or scheduler_address is needed: here processes serve")
        if self.insecure or is_trusted(self.options):
            return
        if address is not None:
            cure = "Give a tls:// address (`hbsim certificates` makes the files), or insecure=True"
            raise self.wrong(f"{DANGER}. {cure}")
        raise self.wrong(f"without TLS {DANGER}. Leave it on, or insecure=True")

    def wrong(self, rule: str) -> ParameterError:
        """Return an error about it."""
        address = self.options.scheduler_address
        if address is not None:
            return ParameterError("scheduler_address", address, rule)
        return ParameterError("hosts", ",".join(self.options.hosts), rule)
