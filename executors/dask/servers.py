"""How the schedulers and workers that hbsim starts are set up."""

from __future__ import annotations

from typing import Any, Final

from hbsim.executors.dask.certificates import FILES
from hbsim.executors.dask.tether import FOLDER

__all__ = ["PATIENCE", "WORKER", "config", "server_options"]

PATIENCE: Final = 120.0  # seconds until a start counts as failed: imports from network disks are slow
WORKER: Final[dict[str, Any]] = {
    "nthreads": 1,
    "memory_limit": 0,  # trials are processes of their own, which Dask does not count
    "death_timeout": PATIENCE,
}
_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def server_options(encrypted: bool, host: str) -> dict[str, Any]:
    """Return the options of a scheduler or worker whose tether has a folder with certificates.

    Parameters
    ----------
    encrypted : bool
        Whether connections are by TLS.
    host : str
        The address at which it listens; "": at all, and Dask finds out at which of them others reach it.
    """
    security: dict[str, Any] = {"require_encryption": encrypted}
    if encrypted:
        authority, certificate, key = (f"{FOLDER}/{name}" for name in FILES)
        security["tls_ca_file"] = authority
        for role in ("client", "scheduler", "worker"):
            security |= {f"tls_{role}_cert": certificate, f"tls_{role}_key": key}
    return {
        "protocol": "tls://" if encrypted else "tcp://",
        "security": security,
        "local_directory": FOLDER,
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",  # a port is opened in any case
        **({"host": host} if host else {}),
    }


def config(processes: int | None) -> dict[str, Any]:
    """Return Dask's configuration for what is started.

    Parameters
    ----------
    processes : int or None
        Workers a host, as asked for. One that is alone runs trials, and how many threads their libraries
        compute with is not Dask's to say.
    """
    found: dict[str, Any] = {"logging.distributed": "info"}  # in the log are the addresses
    if processes == 1:
        found |= {f"distributed.nanny.pre-spawn-environ.{name}": None for name in _THREADS}
    return found
