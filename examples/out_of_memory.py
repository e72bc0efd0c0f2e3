"""A training function that halves its batch size when it runs out of memory, and reports it.

hbsim run examples/out_of_memory.py:train --scheduler promotion --max-t 9 --num-trials 9 \
    --metric loss --mode min --retries 2 --trial-timeout 30m

Memory is pretended here: a batch needs 0.1 GB for each example, and the machine has ROOM.
"""

import hbsim

ROOM = 4.0  # GB


def train_epoch(weight: float, lr: float, batch_size: int) -> float:
    """Train an epoch; a real one would raise torch.OutOfMemoryError."""
    if 0.1 * batch_size > ROOM:
        raise MemoryError(f"a batch of {batch_size} needs {0.1 * batch_size:.1f} GB")
    return weight - lr * weight * (1 + 1 / batch_size)


@hbsim.args(lr=hbsim.Real(1e-3, 0.5, log=True), batch_size=hbsim.Choice(16, 64, 256))
def train(args, reporter):
    # The checkpoint has the batch size, too: a trial that is promoted goes on with what fitted.
    state = reporter.load() or {"epoch": 0, "weight": 3.0, "batch_size": args.batch_size}
    reporter.on_pause(lambda: state)
    while state["epoch"] < 9:
        try:
            state["weight"] = train_epoch(state["weight"], args.lr, state["batch_size"])
        except MemoryError:
            if state["batch_size"] == 1:
                raise  # nothing is left to halve: the study tries the trial again, later and elsewhere
            state["batch_size"] //= 2
            continue
        state["epoch"] += 1
        reporter(epoch=state["epoch"], loss=state["weight"] ** 2, batch_size=state["batch_size"])
