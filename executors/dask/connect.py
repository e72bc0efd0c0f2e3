"""From options to a Dask scheduler: one that runs already, one on hosts by SSH, or one here."""

from __future__ import annotations

import importlib
import importlib.util
import os
import ssl
import warnings
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.dask.quiet import quiet
from hbsim.executors.dask.where import host_of, is_loopback

if TYPE_CHECKING:
    from hbsim.executors.dask.options import Dask

__all__ = ["Started", "is_trusted", "start_cluster"]


@dataclass(frozen=True)
class Started:
    """A scheduler.

    Attributes
    ----------
    address : str
        As in ``tls://HOST:PORT``.
    security : distributed.Security or None
        What connections to it need.
    trusted : bool
        Whether nobody else can send anything or change it: by TLS, or because it stays on this machine.
    expected : int or None
        How many workers it will have; None: nobody knows.
    """

    address: str
    security: Any
    trusted: bool
    expected: int | None


def is_trusted(options: Dask) -> bool:
    """Return whether connections are by TLS, or stay on this machine."""
    if options.scheduler_address is not None:
        address = options.scheduler_address
        return address.startswith("tls://") or is_loopback(host_of(address))
    return options.tls is not False or all(map(is_loopback, options.hosts))


async def start_cluster(
    options: Dask,
    stack: AsyncExitStack,
    say: Callable[[str], None],
    processes: int | None = 1,
    threads: int | None = None,
) -> Started:
    """Start the Dask cluster that is asked for, or find it.

    A cluster on hosts or here is encrypted, by certificates made for it, and ends with the stack: so do all
    its processes, and no less when this process is killed.

    Parameters
    ----------
    options : Dask
        Which cluster.
    stack : AsyncExitStack
        To be closed in the same loop, also where this raises.
    say : callable
        Given lines for people on what takes a while.
    processes : int or None
        Workers a host, where they are started here; None: one a core there.
    threads : int or None
        How many threads each of these computes with; None: it only starts trials, which say so themselves.

    Raises
    ------
    ParameterError
        A package is missing, a host cannot be used, or the certificates cannot be read. Whether a scheduler
        answers at an address is not looked at.

    Warns
    -----
    HbsimWarning
        Connections leave this machine without TLS.
    """
    _check_installed(options)
    trusted = is_trusted(options)
    if not trusted:
        warnings.warn(HbsimWarning(_danger(options)), stacklevel=2)
    if options.scheduler_address is not None:
        stack.enter_context(quiet())
        return Started(options.scheduler_address, _security(options), trusted, None)
    if options.hosts:
        from hbsim.executors.dask.ssh_cluster import start_ssh_cluster

        address, security, expected = await start_ssh_cluster(options, stack, say, processes, threads)
    else:
        from hbsim.executors.dask.here import start_here

        address, security, expected = await start_here(stack, say, processes, threads)
    return Started(address, security, trusted, expected)


def _check_installed(options: Dask) -> None:
    needed = ("distributed", "asyncssh") if options.hosts else ("distributed",)
    for name in needed:
        if not _is_installed(name):
            field = "hosts" if options.hosts else "scheduler_address"
            value = ",".join(options.hosts) if options.hosts else options.scheduler_address
            rule = f'needs the package {name}: pip install "hbsim[dask]"'
            raise ParameterError(field if value else "executor", value or "dask", rule)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:  # something else that finds modules says so
        return False


def _danger(options: Dask) -> str:
    what = (
        "whoever can reach its ports, or is on the way, can run code on its hosts and change what they send"
    )
    if options.scheduler_address is not None:
        address = options.scheduler_address
        cure = "give a tls:// address; `hbsim certificates` makes the files"
        return f"the connection to {address} is neither encrypted nor authenticated: {what}; {cure}"
    names = ", ".join(dict.fromkeys(options.hosts))
    return f"the Dask cluster on {names} is neither encrypted nor authenticated: {what}; leave TLS on"


def _security(options: Dask) -> Any:
    """Return what connections to the scheduler need; its files can be read."""
    if not (options.scheduler_address or "").startswith("tls://"):
        return None
    files = {"tls_ca": options.tls_ca, "tls_cert": options.tls_cert, "tls_key": options.tls_key}
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    given = {
        name: os.path.expanduser(file)
        for name, file in zip(names, files.values(), strict=True)
        if file is not None
    }
    dask: Any = importlib.import_module("distributed")
    security = dask.Security(require_encryption=True, **given)
    if not (security.tls_ca_file and security.tls_client_cert):
        rule = "is needed for a tls:// address, with tls_cert and tls_key; or Dask's configuration has them"
        raise ParameterError("tls_ca", None, rule)
    try:
        security.get_connection_args("client")
    except OSError as error:  # ssl.SSLError is one
        field, rule = _wrong_file(security, error)
        value = None if files[field] is None else str(files[field])
        raise ParameterError(field, value, rule) from None
    return security


def _wrong_file(security: Any, error: OSError) -> tuple[str, str]:
    """Return which of the files cannot be used, and why not."""
    for field, file in (("tls_ca", security.tls_ca_file), ("tls_cert", security.tls_client_cert)):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        except OSError as problem:
            return field, f"must be a file with certificates, PEM: {' '.join(str(problem).split())}"
    said = " ".join(str(error).split())
    return "tls_key", f"must be the private key of tls_cert, PEM, without a passphrase: {said}"
