"""An agent that only talks: it sends back what it gets, and does as it is told. A script, or for a plugin."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import ClassVar

if __name__ != "__main__":
    from hbsim.executors.dask import plugin
    from hbsim.executors.dask.plugin import AgentPlugin

    class FakeAgentPlugin(AgentPlugin):
        """Starts this file instead of a true agent; workers import it from the folder above `tests`."""

        command: ClassVar = (sys.executable, "-P", __file__)

        async def setup(self, worker) -> None:
            plugin.CONNECT = 0.5
            await super().setup(worker)

    class ForgottenPlugin(FakeAgentPlugin):
        """The same; it soon takes its study for gone."""

        async def setup(self, worker) -> None:
            plugin.SILENT, plugin.LOOK = 3.0, 0.1
            await super().setup(worker)


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    with connection, connection.makefile("r") as down, connection.makefile("w") as up:
        config = json.loads(down.readline())
        keys = sorted(config)
        say(up, hello=config["agent"], pid=os.getpid(), keys=keys, threads=os.environ.get("OMP_NUM_THREADS"))
        for line in down:
            act(up, line.rstrip("\n"))
    print("the line is closed", flush=True)


def act(up, line: str) -> None:
    order, _, what = line.partition(" ")
    if order == "exit":
        print(f"it has to leave by {what}", flush=True)
        os._exit(int(what))
    elif order == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif order == "child":
        child = subprocess.Popen(["sleep", what])
        say(up, child=child.pid)
    elif order == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(up, hangs=True)
        while True:
            time.sleep(60)
    elif order == "flood":
        for number in range(int(what)):
            up.write(f'{{"number": {number}, "rows": [[1.5, 2.5, {number}, {{"loss": 0.125}}]]}}\n')
        up.flush()
    else:
        say(up, echo=line)


def say(up, **what: object) -> None:
    up.write(json.dumps(what) + "\n")
    up.flush()


if __name__ == "__main__":
    main()
