"""An agent that repeats what it is sent; ``dask worker --preload`` of this file has Dask workers start it.

``{"o": "count", "to": N, "every": SECONDS}`` has it count, ``{"o": "exit", "code": N}`` end. At SIGTERM it
takes a second, as if trials saved, says so, and waits for ``close``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time


def dask_setup(worker: object) -> None:
    """Be what Dask workers start."""
    from hbsim.executors.remote import dask_plugin

    dask_plugin.AgentPlugin.command = [sys.executable, __file__]


def say(**body: object) -> None:
    sys.stdout.write(f"{json.dumps(body)}\n")
    sys.stdout.flush()


def leave(number: int, frame: object) -> None:
    say(m="leaving")
    time.sleep(1.0)
    say(m="left")
    ends = threading.Timer(20.0, os._exit, [0])
    ends.daemon = True
    ends.start()


def main() -> None:
    """Answer until stdin is closed."""
    first = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, leave)
    if "ends" in first:  # as an agent does that hears nothing for its lease
        threading.Timer(first["ends"], os._exit, [0]).start()
    say(m="hello", agent=first["agent"], pid=os.getpid(), threads=os.environ.get("OMP_NUM_THREADS"))
    for line in sys.stdin:
        body = json.loads(line)
        if body["o"] == "close":
            return
        if body["o"] == "exit":
            print("as it was asked to", file=sys.stderr, flush=True)
            os._exit(body["code"])
        if body["o"] == "count":
            for number in range(body["to"]):
                say(m="count", number=number)
                time.sleep(body["every"])
        else:
            say(m="echo", body=body)


if __name__ == "__main__":
    main()
