"""The global random states of a trial's process."""

from __future__ import annotations

import random
import struct
import sys

import numpy as np

__all__ = ["seed_everything"]


def seed_everything(seed: int, start: float = 0.0, attempt: int = 0) -> None:
    """Seed what training code may draw from: `random`, NumPy, and PyTorch if it is loaded.

    All trials are forked from one server, so without this all would draw the same. This is the one place
    that touches global random state: it is the training function's, not ours.

    Parameters
    ----------
    seed : int
        The trial's.
    start : float
        The milestone where the job starts.
    attempt : int
        How often the trial has failed. A job that goes on does not draw again what the first one drew.
    """
    if start or attempt:
        entropy = [seed, attempt, *struct.unpack("<II", struct.pack("<d", start))]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(seed)  # noqa: TID251
    np.random.seed(seed)  # noqa: NPY002, TID251
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
