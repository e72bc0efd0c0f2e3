"""Whether an address is of this machine: what is sent there, nobody else can read or change."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["host_of", "is_loopback", "reachable"]


def is_loopback(host: str) -> bool:
    """Return whether a name or address is of the loopback; names are not looked up."""
    if host.lower().rstrip(".") in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def host_of(address: str) -> str:
    """Return the host in ``tcp://HOST:PORT``, in small letters."""
    return urlsplit(address).hostname or ""


def reachable(address: str) -> str:
    """Return an address if other machines may reach it, else nothing."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # of one link only: fe80::1%eth0
        return ""
    return "" if found.is_loopback or found.is_link_local or found.is_unspecified else str(found)
