"""Trials' processes that start anew and load everything themselves, where a library cannot be forked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, NoReturn

from hbsim.errors import ParameterError
from hbsim.executors.offspring import Entry, Order, find_entry, live, open_log
from hbsim.executors.server_lines import fatal
from hbsim.executors.target import load_target

__all__ = ["main", "spawn"]

_CODE: Final = (
    "import json, sys; given = json.load(sys.stdin); sys.path[:] = given['setup']['train']['path'];"
    " from hbsim.executors.spawned import main; main(given)"
)


def spawn(setup: Mapping[str, Any], order: Order, connection: socket.socket) -> int:
    """Start a job's process; return its id. The caller waits for its end.

    Parameters
    ----------
    setup : mapping
        The server's: ``train`` and ``entry``.
    order : Order
        The job.
    connection : socket.socket
        Passed on to the process.
    """
    given = {"setup": setup, "order": asdict(order), "parent": os.getpid(), "connection": connection.fileno()}
    changed = {**os.environ, **order.environment()}
    log = open_log(order.log)
    try:
        with tempfile.TemporaryFile("w+") as file:  # a pickled function may be larger than a pipe
            json.dump(given, file)
            file.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-c", _CODE],
                stdin=file,
                stdout=log,
                stderr=log,
                env={name: value for name, value in changed.items() if value is not None},
                pass_fds=[connection.fileno()],
                start_new_session=True,
            )
    finally:
        os.close(log)
    process.returncode = 0  # the server waits for all its children alike
    return process.pid


def main(given: Mapping[str, Any]) -> NoReturn:
    """Run the job that `spawn` has described, in the process that it has started."""
    connection = socket.socket(fileno=given["connection"])
    connection.set_inheritable(False)

    def load() -> tuple[Entry, Any]:
        setup = given["setup"]
        try:
            return find_entry(setup["entry"]), load_target(setup["train"])
        except ParameterError as error:
            connection.sendall(json.dumps(fatal(error)).encode() + b"\n")
            raise

    live(Order(**given["order"]), given["parent"], connection, load)
