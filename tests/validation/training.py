"""Training functions for real runs: with checkpoints, and without."""

import time

import hbsim

SPACE = {"height": hbsim.Real(0.0, 1.0), "pace": hbsim.Real(0.5, 2.0)}


def value_at(args, epoch):
    """Curves that cross."""
    return args.height * (1 - 0.6 ** (epoch * args.pace))


@hbsim.args(**SPACE)
def from_zero(args, reporter):
    for epoch in range(1, 10):
        time.sleep(0.001 * args.pace)
        reporter(epoch=epoch, accuracy=value_at(args, epoch))


@hbsim.args(**SPACE)
def resumes(args, reporter):
    epoch = 0
    reporter.on_pause(lambda: {"epoch": epoch})
    saved = reporter.load()
    if saved is not None:
        epoch = saved["epoch"]
    while epoch < 9:
        time.sleep(0.001 * args.pace)
        epoch += 1
        reporter(epoch=epoch, accuracy=value_at(args, epoch))


@hbsim.args(**SPACE)
def fails(args, reporter):
    for epoch in range(1, 10):
        if epoch == 2 and reporter.trial % 2:
            raise ValueError("odd trials fail")
        reporter(epoch=epoch, accuracy=value_at(args, epoch))
