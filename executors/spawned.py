"""Processes that start anew: the warm server, and trials where a library cannot be forked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from hbsim.errors import ParameterError
from hbsim.executors.offspring import Entry, Order, find_entry, live, open_log
from hbsim.executors.server_lines import fatal
from hbsim.executors.target import load_target

__all__ = ["main", "spawn", "start_python"]

_HOME: Final = str(Path(str(sys.modules["hbsim"].__file__)).parents[1])
# Isolated from the working directory and from the script's folder, whose files may be named like modules of
# the standard library: what is ours is loaded first, `load_target` makes the module path the script's.
_CODE: Final = (
    "import json, sys; given = json.load(sys.stdin); sys.path.insert(0, given['home']); import hbsim;"
    " del sys.path[0]; sys.path += [entry for entry in given['path'] if entry not in sys.path];"
    " from importlib import import_module; import_module(given['module']).main(given)"
)


def start_python(
    module: str,
    given: Mapping[str, object],
    path: Sequence[str],
    connection: socket.socket,
    environment: Mapping[str, str | None],
    output: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a Python process in a session of its own, which calls ``main`` of a module of ours.

    Parameters
    ----------
    module : str
        The module.
    given : mapping
        What it is called with, in plain JSON types; ``parent``, this process's id, and ``connection``, the
        number of the connection, are added.
    path : sequence of str
        Where modules are looked for that are neither of Python's own path nor ours.
    connection : socket.socket
        Passed on to the process.
    environment : mapping
        Its environment variables; None leaves one out.
    output : int, optional
        What takes its output and its errors; by default what takes this process's.

    Raises
    ------
    OSError
        It cannot be started.
    """
    told = {**given, "module": module, "home": _HOME, "path": list(path)}
    told |= {"parent": os.getpid(), "connection": connection.fileno()}
    with tempfile.TemporaryFile("w+") as file:  # a pickled function may be larger than a pipe
        json.dump(told, file)
        file.seek(0)
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, module],  # by its name, it is found among processes
            stdin=file,
            stdout=output,
            stderr=output,
            env={name: value for name, value in environment.items() if value is not None},
            pass_fds=[connection.fileno()],
            start_new_session=True,  # Ctrl-C is the controller's
        )


def spawn(setup: Mapping[str, Any], order: Order, connection: socket.socket) -> int:
    """Start a job's process; return its id. The caller waits for its end.

    Parameters
    ----------
    setup : mapping
        The server's: ``train``, ``entry`` and ``grace``.
    order : Order
        The job.
    connection : socket.socket
        Passed on to the process.
    """
    given = {"setup": setup, "order": asdict(order)}
    environment = {**os.environ, **order.environment()}
    log = open_log(order.log)
    try:
        path = setup["train"]["path"]
        process = start_python(__name__, given, path, connection, environment, log)
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

    live(Order(**given["order"]), given["parent"], connection, load, given["setup"]["grace"])
