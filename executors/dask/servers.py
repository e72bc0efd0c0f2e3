"""How the schedulers and workers that hbsim starts are set up."""

from __future__ import annotations

from typing import Any, Final

from hbsim.executors.dask.certificates import FILES
from hbsim.executors.dask.tether import FOLDER
from hbsim.executors.threads import THREAD_VARIABLES

__all__ = ["PATIENCE", "config", "server_options", "worker_options"]

PATIENCE: Final = 120.0  # seconds until a start counts as failed: imports from network disks are slow
_BY_DASK: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # it says 1
_ALL: Final = (*THREAD_VARIABLES, "POLARS_MAX_THREADS")
_NANNY: Final = "distributed.nanny.pre-spawn-environ"


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


def worker_options(patience: float = PATIENCE) -> dict[str, Any]:
    """Return what is added for a worker.

    Parameters
    ----------
    patience : float
        Seconds in which it must have found its scheduler.
    """
    # Trials are processes of their own, which Dask does not count.
    return {"nthreads": 1, "memory_limit": 0, "death_timeout": patience}


def config(threads: int | None) -> dict[str, Any]:
    """Return Dask's configuration for what is started.

    Parameters
    ----------
    threads : int or None
        How many threads numerical libraries and Polars compute with in each worker. None: workers only start
        trials, and how many threads those compute with is not Dask's to say.
    """
    names = _BY_DASK if threads is None else _ALL
    return {
        "logging.distributed": "info",  # in the log are the addresses
        "distributed.scheduler.idle-timeout": None,  # a study has no tasks of Dask
        **{f"{_NANNY}.{name}": threads for name in names},
    }
