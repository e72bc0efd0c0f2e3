"""Which Dask cluster runs the cells in place of this machine, and whether what it sends can be trusted."""

from __future__ import annotations

import ipaddress
import warnings
from dataclasses import dataclass
from typing import Final

from hbsim.errors import HbsimWarning, ParameterError
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

    def __post_init__(self) -> None:
        address, hosts = self.options.scheduler_address, self.options.hosts
        if address is None and not hosts:
            raise ParameterError("hosts", None, "or scheduler_address is needed: here processes serve")
        if self.insecure or self.is_trusted:
            return
        if address is not None:
            rule = f"{DANGER}. Give a tls:// address (`hbsim certificates` makes the files), or insecure=True"
            raise ParameterError("scheduler_address", address, rule)
        raise ParameterError("hosts", ",".join(hosts), f"without TLS {DANGER}. Leave it on, or insecure=True")

    @property
    def is_trusted(self) -> bool:
        """Whether nobody else can send anything: connections are by TLS, or do not leave this machine."""
        address = self.options.scheduler_address
        if address is not None:
            return address.startswith("tls://") or _is_loopback(_host_of(address))
        return self.options.tls is not False or all(map(_is_loopback, self.options.hosts))

    @property
    def field(self) -> str:
        """The parameter that errors are about."""
        return "hosts" if self.options.scheduler_address is None else "scheduler_address"

    @property
    def value(self) -> str:
        """Its value, as a user wrote it."""
        return self.options.scheduler_address or ",".join(self.options.hosts)

    def wrong(self, rule: str) -> ParameterError:
        """Return an error about it."""
        return ParameterError(self.field, self.value, rule)

    def warn_of_danger(self) -> None:
        """Say what `insecure` means, where it means anything."""
        if not self.is_trusted:
            warnings.warn(HbsimWarning(f"{self.value} without TLS: {DANGER}"), stacklevel=2)


def _host_of(address: str) -> str:
    """Return the host in ``tcp://HOST:PORT``."""
    place = address.partition("://")[2]
    if place.startswith("["):  # IPv6
        return place[1:].partition("]")[0]
    return place.rpartition(":")[0] or place


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
