"""The controller's loop, which turns in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from hbsim.executors.dask.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


async def thread() -> threading.Thread:
    await asyncio.sleep(0)
    return threading.current_thread()


def test_what_is_started_runs_elsewhere(loop: Loop) -> None:
    first, second = loop.start(thread()).result(10), loop.start(thread()).result(10)
    assert first is second
    assert first is not threading.current_thread()


def test_it_turns_while_nobody_waits(loop: Loop) -> None:
    seen = threading.Event()
    loop.start(asyncio.sleep(0)).result(10)
    loop.call(seen.set)
    assert seen.wait(10)


def test_what_is_called_before_it_begins_comes_first_and_in_order(loop: Loop) -> None:
    seen: list[int] = []
    for number in range(20):
        loop.call(seen.append, number)
    assert seen == []
    loop.start(asyncio.sleep(0)).result(10)
    loop.call(seen.append, 20)
    loop.start(asyncio.sleep(0)).result(10)
    assert seen == list(range(21))


def test_what_fails_and_what_is_cancelled_is_told(loop: Loop) -> None:
    ended = threading.Event()

    async def fail() -> None:
        raise ValueError("here")

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(ValueError, match="here"):
        loop.start(fail()).result(10)
    waiting = loop.start(wait())
    loop.start(asyncio.sleep(0.01)).result(10)
    waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result(10)
    assert ended.wait(10)


def test_its_end_cancels_what_runs_and_ends_the_thread(loop: Loop) -> None:
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            seen.append("ended")

    mine = loop.start(thread()).result(10)
    loop.start(wait())
    loop.close()
    assert seen == ["ended"]
    assert not mine.is_alive()
    loop.call(seen.append, "late")  # a signal may come at any time
    loop.close()
    assert seen == ["ended"]


def test_one_that_never_began_can_be_closed() -> None:
    before = threading.active_count()
    Loop().close()
    assert threading.active_count() == before
