"""An agent that does as it is told: what a carrier has to cope with.

Its first message repeats the configuration. Of what it is sent it obeys ``{"print": TEXT}``, ``{"repeat":
[TEXT, N]}``, ``{"say": TEXT}`` on stderr and ``{"exit": CODE}``; it echoes the rest.
"""

import json
import os
import sys

print("Welcome to this machine", flush=True)  # as a shell's start-up files do
print(json.dumps({"m": "hello", "pid": os.getpid(), "config": json.loads(sys.stdin.readline())}), flush=True)
for line in sys.stdin:
    order = json.loads(line)
    if "print" in order:
        print(order["print"], flush=True)
    elif "repeat" in order:
        text, count = order["repeat"]
        print(text * count, flush=True)
    elif "say" in order:
        print(order["say"], file=sys.stderr, flush=True)
    elif "exit" in order:
        os._exit(order["exit"])
    else:
        print(json.dumps({"m": "echo", **order}), flush=True)
