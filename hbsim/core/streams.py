"""Random streams: blocks of numbers that depend on seed, purpose and block only, never on earlier draws."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import numpy as np

BLOCK = 4096  # trials in a block of numbers; part of the meaning of a seed


class Purpose(IntEnum):
    """The purpose of a stream; streams of one seed are independent. Never renumber."""

    POINTS = 0x9A0F
    ROWS = 0x9A10
    SLOWNESS = 0x9A11
    FAILURE = 0x9A12
    STARTUP = 0x9A13
    REPORT = 0x9A14
    DECISION = 0x9A15
    CHECKPOINT = 0x9A16
    OUTAGE = 0x9A17
    PREEMPTION = 0x9A18
    REDRAWS = 0x9A19
    MODEL = 0x9A1A
    DESIGN = 0x9A1B
    HALVES = 0x9A1C


def block_generator(seed: int, purpose: Purpose, block: int, part: int = 0) -> np.random.Generator:
    """Return the generator of one block of one stream (Philox, counter-based).

    Parameters
    ----------
    seed : int
        0 or more.
    purpose : Purpose
        Of the stream.
    block : int
        The number of the block.
    part : int
        One of several streams of the same purpose: a level, an attempt.
    """
    spawn_key = (purpose, block, part) if part else (purpose, block)
    key = np.random.SeedSequence(seed, spawn_key=spawn_key)
    return np.random.Generator(np.random.Philox(key))


def in_blocks(first: int, n: int, size: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield the blocks that hold the n items from `first` on: number, slice of the block, slice of the items.

    Parameters
    ----------
    first, n : int
        The first item, counted from 0 over all blocks, and how many.
    size : int
        How many items a block has.
    """
    done = 0
    while done < n:
        number, start = divmod(first + done, size)
        count = min(size - start, n - done)
        yield number, slice(start, start + count), slice(done, done + count)
        done += count


def trial_seed(seed: int, trial: int) -> int:
    """Return the seed that a trial's training function gets: 32 bits, the same in every study of `seed`."""
    return int(np.random.SeedSequence(entropy=seed, spawn_key=(trial,)).generate_state(1)[0])
