"""Connections to a Dask cluster, for trials and for simulated studies.

Dask's trust model holds: who can connect to the scheduler can run code on all that are connected to it, this
process included.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from hbsim.errors import HbsimWarning, ParameterError, needs

if TYPE_CHECKING:
    from hbsim.executors.remote.options import Dask

__all__ = [
    "brief",
    "check_scheduler",
    "client_of",
    "is_trusted",
    "logs_off_terminal",
    "scheduler_in_process",
    "security_of",
]

PATIENCE: Final = 10.0  # seconds for an answer
_LOGGERS: Final = ("distributed", "distributed.client", "tornado", "tornado.application")


def is_trusted(address: str | None) -> bool:
    """Return whether nobody else can change what a scheduler says: by TLS, or on this machine."""
    if address is None or address.startswith("tls://"):
        return True
    host = (urlsplit(address).hostname or "").rstrip(".")
    if host in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def security_of(options: Dask) -> Any:
    """Return the `distributed.Security` for a scheduler's address, None for ``tcp://``.

    Raises
    ------
    ParameterError
        Dask is not installed, there are no certificates, or they cannot be used.

    Warns
    -----
    HbsimWarning
        The connection leaves this machine without TLS.
    """
    address = options.scheduler_address
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        field = "scheduler_address" if address else "executor"
        raise ParameterError(field, address or "dask", needs("distributed", "remote")) from None
    if not is_trusted(address):
        danger = "whoever can reach it, or is on the way, can run code here and on its workers"
        text = f"the connection to {address} is neither encrypted nor authenticated: {danger}"
        warnings.warn(HbsimWarning(f"{text}; give a tls:// address"), stacklevel=2)
    if address is None or not address.startswith("tls://"):
        return None
    files = (options.tls_ca, options.tls_cert, options.tls_key)
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    given = {name: os.path.expanduser(file) for name, file in zip(names, files, strict=True) if file}
    security = distributed.Security(require_encryption=True, **given)
    if not (security.tls_ca_file and security.tls_client_cert):
        rule = "is needed for a tls:// address, with tls_cert and tls_key; or Dask's configuration has them"
        raise ParameterError("tls_ca", None, rule)
    try:
        security.get_connection_args("client")
    except OSError as error:  # ssl.SSLError is one
        rule = "must be the private key of tls_cert, without a passphrase, and all three files PEM"
        raise ParameterError("tls_key", security.tls_client_key, f"{rule} ({brief(error)})") from None
    return security


async def check_scheduler(address: str, security: Any, timeout: float = PATIENCE) -> None:
    """See whether a scheduler answers: a client that fails to connect leaves much noise behind.

    Raises
    ------
    ParameterError
        No scheduler answers there, or not with these certificates.
    """
    distributed: Any = importlib.import_module("distributed")
    given = {} if security is None else security.get_connection_args("client")
    try:
        async with asyncio.timeout(timeout), distributed.rpc(address, connection_args=given) as server:
            kind = (await server.identity())["type"]
    except Exception as error:  # whatever another kind of server says is decoded
        raise ParameterError(
            "scheduler_address", address, _why(address, error.__cause__ or error, timeout)
        ) from None
    if kind != "Scheduler":
        rule = f"is the address of a Dask {kind.lower()}: give that of the scheduler"
        raise ParameterError("scheduler_address", address, rule)


def client_of(address: str, security: Any, timeout: float = PATIENCE, **given: Any) -> Any:
    """Return a `distributed.Client` of a scheduler that answers."""
    distributed: Any = importlib.import_module("distributed")
    with warnings.catch_warnings():
        # A table of versions; agents and workers say which of them count.
        warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
        return distributed.Client(address, security=security, timeout=timeout, set_as_default=False, **given)


def _why(address: str, error: BaseException, timeout: float) -> str:
    """Return why there is no connection to a scheduler, and what can be done."""
    text = brief(error)
    if address.startswith("tls://") and any(word in text for word in ("TLS", "SSL", "certificate")):
        return f"answers, but not with TLS that both sides accept: are the certificates its own? ({text})"
    said = "" if isinstance(error, TimeoutError | asyncio.CancelledError) else f" ({text})"
    rule = f"no Dask scheduler answers there within {timeout:g} s, as in tls://HOST:8786{said}"
    if address.startswith("tcp://") and not isinstance(error, ConnectionRefusedError):
        rule += "; if it has TLS, give tls:// with tls_ca, tls_cert and tls_key"
    return rule


def brief(error: BaseException) -> str:
    """Return what an error is and says, in one line."""
    text = " ".join(str(error).split())[:200]
    if type(error) is Exception and text:  # Dask has put it into words
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@asynccontextmanager
async def scheduler_in_process() -> AsyncIterator[str]:
    """Start a scheduler and a worker in this process; give the address, which nobody else can connect to."""
    distributed: Any = importlib.import_module("distributed")
    http = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with tempfile.TemporaryDirectory(prefix="hbsim-dask-") as folder:
        settings = {"nthreads": 1, "memory_limit": 0, "local_directory": folder, **http}
        async with (
            distributed.Scheduler(protocol="inproc://", **http) as scheduler,
            distributed.Worker(scheduler.address, **settings) as worker,
        ):
            for server in (scheduler, worker):  # they cannot be started without
                server.http_server.stop()
            yield scheduler.address


@contextmanager
def logs_off_terminal() -> Iterator[None]:
    """Keep what Dask logs off the terminal; other handlers get it as ever."""
    importlib.import_module("distributed")  # which makes its handlers

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] not in ("distributed", "tornado")

    handlers = {handler for name in ("", *_LOGGERS) for handler in logging.getLogger(name).handlers}
    with ExitStack() as stack:
        for handler in (*handlers, logging.lastResort):
            if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.stdout):
                handler.addFilter(is_of_others)
                stack.callback(handler.removeFilter, is_of_others)
        yield
