"""Studies on agents at the end of pipes: the controller, the fleet, agents and trials are real."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hbsim
from hbsim.core.space import space_of
from hbsim.errors import ParameterError
from hbsim.executors import checkpoint
from hbsim.executors.checkpoint import Origin
from hbsim.executors.local import trial_folder
from hbsim.executors.remote import controller as module
from hbsim.executors.remote.controller import SessionFile, wait_for_earlier_runs
from hbsim.executors.remote.protocol import CopyError
from hbsim.executors.remote.store import CheckpointStore, download, newest_of_all
from hbsim.executors.remote.workers import RemoteWorkers
from hbsim.executors.training_function import make_target
from hbsim.runner.journal import Journal
from hbsim.runner.workers import JobEnded, Reported, WorkerOpened
from hbsim.searchers import RandomSearcher
from hbsim.study.interrupts import Interrupted
from tests.doubles.checkpoints import load_newest

from . import training
from .piped import LONG, STUDY, Piped, eventually, scheduler, task

LEASE = 2.0
HELD = LEASE + 3.5  # seconds: until then a host that is not heard ends its trials, and they count as lost


@pytest.fixture
def piped(tmp_path: Path) -> Piped:
    return Piped(tmp_path)


def reached(piped: Piped) -> dict[int, int]:
    """Return the epoch that each trial's checkpoint in the study's folder is of."""
    found = {}
    for folder in piped.trials.iterdir():
        if folder.name.isdigit() and (state := load_newest(folder / checkpoint.NAME)):
            found[int(folder.name)] = state["epoch"]
    return found


# Where checkpoints are


@pytest.mark.parametrize("storage", ["pull", "url"])
def test_each_job_goes_on_where_its_trial_stood(storage: str, piped: Piped) -> None:
    url = f"file://{piped.folder}/store"
    result = piped.run(storage=url if storage == "url" else storage, keep="all")
    assert result.why == "done"
    assert result.summary()["trials"] == 9
    begun = [line for line in piped.trace() if line["what"] == "begins"]
    stood = {record["job"]: record["start"] for record in piped.records("start")}
    assert {line["job"]: line["epoch"] for line in begun} == stood
    assert all(line["files"] == line["epoch"] for line in begun)  # its own file has come along
    assert len({line["host"] for line in begun}) == 2
    paused = result.trials.filter(result.trials["status"] == "paused")
    stands = dict(zip(paused["trial"], paused["resource"], strict=True))
    if storage == "url":
        assert reached(piped) == {}
        assert download(url, piped.note["study"], piped.trials) >= len(stands)
        assert download(url, piped.note["study"], piped.trials) == 0
    assert reached(piped).items() >= stands.items()
    for trial in range(9):
        log = (trial_folder(piped.trials, trial) / "log.txt").read_text()
        jobs = [line for line in begun if line["trial"] == trial]
        assert log == "".join(f"trial {trial} begins at {job['epoch']}\n" for job in jobs)
    assert piped.note["gathered"]
    assert piped.warned == []
    assert not list(piped.folder.glob("host-*/*"))  # hosts have removed theirs
    assert not list(piped.trials.glob(".probe-*"))
    piped.check()


def test_the_model_of_the_best_report_comes_from_its_host(piped: Piped) -> None:
    """Its trial went on past the report, so that its newest checkpoint is another."""
    result = piped.run(scheduler(grace_period=3), name="peaked", storage="pull")
    assert result.best.resource == 2
    assert result.trials["reached"][result.best.trial] >= 3
    assert result.best.load() == {"epoch": 2}
    assert piped.warned == []
    piped.check()


def test_what_is_of_no_more_use_is_removed_everywhere(piped: Piped) -> None:
    """With a checkpoint that comes just after it was removed from the study's folder."""
    piped.carrier.before_copy = lambda kind, host: time.sleep(0.2)
    piped.run(scheduler(num_trials=4), keep="none", storage="pull")
    assert reached(piped) == {}
    assert not list(piped.trials.glob("*/files"))
    assert not list(piped.folder.glob("host-*/*"))
    store = f"file://{piped.folder}/store"
    (piped.folder / "url").mkdir()
    piped = Piped(piped.folder / "url")
    piped.run(scheduler(num_trials=4), keep="none", storage=store)
    assert CheckpointStore(store, piped.note["study"]).jobs() == {}


def test_copies_that_fail_are_tried_again(piped: Piped) -> None:
    """And what is lost of the connection meanwhile counts for nothing."""
    failing = [OSError(errno.EIO, "broken"), CopyError("away", away=True), CopyError("cut off")]

    def fail(kind: str, host: str) -> None:
        if kind == "get" and failing:
            raise failing.pop()

    piped.carrier.before_copy = fail
    piped.run(scheduler(num_trials=4), keep="all")
    assert failing == []
    assert piped.note["gathered"]
    assert piped.warned == []
    assert piped.records("fail") == []
    piped.check()


def test_a_checkpoint_in_the_studys_folder_is_copied_to_a_host(piped: Piped) -> None:
    folder = trial_folder(piped.trials, 0)
    about = {"study": STUDY, "trial": 0, "attempt": 0, "job": 3, "started": 1.0}
    origin = Origin.of({**about, "point": [0.5], "earlier": []})
    checkpoint.save(folder / checkpoint.NAME, {"epoch": 2}, origin=origin, reports=2, resource=2.0)
    (folder / "files").mkdir()
    (folder / "files" / "notes.txt").write_text("1\n2\n")
    failing = [CopyError("away", away=True), OSError(errno.EIO, "broken")]

    def fail(kind: str, host: str) -> None:
        if failing:
            raise failing.pop()

    piped.carrier.before_copy = fail
    workers = piped.workers()
    workers.prepare()
    try:
        workers.start(0, task(4, 0, start=2.0, earlier=[(3, 1.0, 2)]))
        eventually(lambda: any(isinstance(one, Reported) and one.waits for one in workers.wait(0.1)))
    finally:
        workers.close()
    (begun,) = [line for line in piped.trace() if line["what"] == "begins"]
    assert (begun["epoch"], begun["files"]) == (2, 2)
    assert [kind for kind, _ in piped.carrier.copies] == ["put"] * 4  # two fail, then checkpoint and files


def test_what_cannot_be_copied_is_named_and_hosts_keep_it(
    piped: Piped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.05)

    def full(kind: str, host: str) -> None:
        if kind == "get":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    piped.carrier.before_copy = full
    result = piped.run(scheduler(num_trials=4), keep="all")
    assert result.summary()["trials"] == 4
    assert not piped.note["gathered"]
    assert piped.warned
    assert all("cannot be copied" in text and "No space left on device" in text for text in piped.warned)
    kept = [newest_of_all(host) for host in piped.folder.glob("host-*/*/trials")]
    paused = result.trials.filter(result.trials["status"] == "paused")["trial"].to_list()
    assert {trial for held in kept for trial in held} >= set(paused)
    piped.check()


def test_a_checkpoint_on_a_host_that_is_gone_at_the_end_is_named(piped: Piped) -> None:
    """It is waited for as long as a lease; then the other host removes nothing, either."""

    def lose(kind: str, host: str) -> None:
        if host == "b" and "b" not in piped.carrier.gone:
            piped.carrier.gone.add("b")
            os.kill(piped.carrier.pids["b"], signal.SIGKILL)

    piped.carrier.before_copy = lose
    core = scheduler("stopping", num_trials=4, grace_period=9)  # whose checkpoints nobody asks for before
    piped.run(core, "saving", keep="all", lease=LEASE)
    assert not piped.note["gathered"]
    named = [text for text in piped.warned if text.startswith("the checkpoint of trial ")]
    assert named
    assert [text for text in named if not text.endswith("stays on b, which cannot be reached")] == []
    assert '"clean":false' in piped.carrier.closed[-1]
    piped.check()


def test_a_study_whose_only_host_is_taken_away_says_that_it_waits(tmp_path: Path) -> None:
    piped = Piped(tmp_path, hosts="a")

    def take_away() -> None:
        eventually(lambda: any(piped.traces.iterdir()))
        os.kill(piped.carrier.pids["a"], signal.SIGTERM)

    piped.meanwhile(take_away)
    core = scheduler("stopping", num_trials=2, loss_retries=3)
    result = piped.run(core, args={"seconds": 0.1})
    assert result.why == "done"
    assert "no host is left: the study waits until one is back" in piped.warned
    piped.check()


# Who is held up


class Thinks(RandomSearcher):
    """Does something else before it suggests its third point, or another one."""

    def __init__(self, meanwhile: Callable[[], object], at: int = 3) -> None:
        super().__init__(space_of(training.saving), 5)
        self._meanwhile, self._calls, self._at = meanwhile, 0, at

    def suggest(self, n: int) -> Any:
        self._calls += 1
        if self._calls == self._at:
            self._meanwhile()
        return super().suggest(n)


def one_by_one(piped: Piped, **options: Any) -> Any:
    """Run trials, one of which is under way while the next is thought of."""
    core = scheduler("stopping", num_trials=4)
    return piped.run(core, "saving", lease=LEASE, workers=2, args={"seconds": 0.1}, **options)


def no_loss(piped: Piped) -> bool:
    return piped.records("fail", "shut", "missing") == [] and piped.warned == []


def test_a_searcher_that_thinks_for_longer_than_a_lease(piped: Piped) -> None:
    result = one_by_one(piped, searcher=Thinks(lambda: time.sleep(HELD)))
    assert len(result.trials) == 4
    assert no_loss(piped)


def test_ctrl_c_while_a_searcher_thinks(piped: Piped) -> None:
    """Once: the study ends in good order; checkpoints come into its folder, and it goes on."""

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)

    with pytest.raises(Interrupted):
        one_by_one(piped, searcher=Thinks(interrupted, at=2))
    assert no_loss(piped)
    assert piped.note["gathered"]
    assert piped.records()[-1]["why"] == "interrupted"
    assert not list(piped.folder.glob("host-*/*"))
    running = reached(piped)
    assert running
    piped = Piped(piped.folder)
    one_by_one(piped, resume=True, searcher=Thinks(lambda: None))
    begun = {line["trial"]: line["epoch"] for line in piped.trace() if line["what"] == "begins"}
    assert begun.items() >= running.items()
    piped.check()


def test_ctrl_c_twice_while_a_searcher_thinks(piped: Piped) -> None:
    """All ends at once, in the middle of a thought."""

    def interrupted() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10 * LONG)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        one_by_one(piped, searcher=Thinks(interrupted))
    assert time.monotonic() - begun < LONG
    piped.check_nothing_is_left()


def test_a_runner_that_is_slow_makes_trials_wait(piped: Piped, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is reported faster than it can be written down nothing piles up, and nothing is lost."""
    count, times, most = 22_000, iter([1.0, 1.0]), [0]
    append = Journal.append
    wait = RemoteWorkers.wait

    def noted(self: RemoteWorkers, timeout: float | None) -> Any:
        waiting = [self._news.get_nowait() for _ in range(self._news.qsize())]
        most[0] = max(most[0], sum(size for _, _, size in waiting))
        for news in waiting:
            self._news.put(news)
        return wait(self, timeout)

    def slow(self: Journal, record: Any) -> int:
        if record["e"] == "rows" and (pause := next(times, 0.0)):
            time.sleep(pause)
        return append(self, record)

    monkeypatch.setattr(Journal, "append", slow)
    monkeypatch.setattr(RemoteWorkers, "wait", noted)
    core = hbsim.make_scheduler("fifo", max_t=count, num_trials=1)
    piped.run(core, "flood", workers=1, args={"count": count})
    rows = [row for record in piped.records() for row in record.get("rows", ())]
    assert [row[2] for row in rows] == list(range(1, count + 1))
    assert piped.records("shut", "missing", "late") == []
    assert 0 < most[0] < 2 << 20  # an agent may send 1 MiB, and what it had read by then of its trial


# The beginning and the end


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAID", 0.2)
    monkeypatch.setattr(module, "LAST_HOSTS", 1.0)


@pytest.mark.usefixtures("impatient")
def test_the_last_hosts_are_waited_for_a_while_and_may_come_later(piped: Piped) -> None:
    piped.carrier.slow.add("b")
    workers = piped.workers()
    try:
        workers.prepare()
        assert "1 of 2 hosts can take trials" in piped.said
        assert workers.hosts() == "1 host: a"
        piped.carrier.slow.clear()
        opened: list[WorkerOpened] = []
        eventually(
            lambda: (
                opened.extend(one for one in workers.wait(0.1) if isinstance(one, WorkerOpened))
                or {one.host for one in opened} == {"a", "b"}
            )
        )
        assert workers.hosts() == "2 hosts: a, b"
        assert {slot.worker for slot in workers.slots} == {one.worker for one in opened}
    finally:
        workers.close()
        workers.close()
    piped.check_nothing_is_left()


@pytest.mark.usefixtures("impatient")
def test_a_study_begins_without_hosts_where_any_number_may_come(tmp_path: Path) -> None:
    piped = Piped(tmp_path, hosts="")
    piped.meanwhile(lambda: (eventually(lambda: piped.said), piped.carrier.add("ab")))
    assert piped.run(scheduler(num_trials=4)).summary()["trials"] == 4
    assert piped.said[0] == "the Dask cluster has no workers yet: waiting for the first one"
    assert piped.warned == []
    piped.check()


def test_a_pickled_function_needs_a_trusted_carrier(piped: Piped) -> None:
    @hbsim.args(x=hbsim.Real(0.0, 1.0))
    def closure(args: Any, reporter: Any) -> None:
        piped.said.append("runs")

    piped.carrier.trusted = False
    workers = piped.workers(target=make_target(closure, by_value=False))
    try:
        with pytest.raises(ParameterError, match="travels as a pickle, which needs a connection by TLS"):
            workers.prepare()
    finally:
        workers.close()
    assert piped.carrier.pids == {}


def test_a_task_that_fails_is_raised_in_the_next_call(piped: Piped, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = piped.workers()
    workers.prepare()
    try:
        monkeypatch.setattr(piped.carrier, "send", None)
        with pytest.raises(TypeError, match="not callable"):
            eventually(lambda: workers.wait(0.1) is None)
    finally:
        monkeypatch.undo()
        workers.close()
    piped.check_nothing_is_left()


def test_one_that_never_began_can_be_closed_and_woken(piped: Piped) -> None:
    before = threading.active_count()
    workers = piped.workers()
    workers.wake()
    assert workers.wait(None) == []
    workers.close()
    workers.prune(1)
    eventually(lambda: threading.active_count() <= before)


def test_a_study_that_has_come_to_nothing_leaves_nothing_on_hosts(piped: Piped) -> None:
    workers = piped.workers("saving")
    workers.prepare()
    workers.start(0, task(0, 0, stop=9.0))
    ended: list[JobEnded] = []

    def over() -> bool:
        for message in workers.wait(0.1):
            if isinstance(message, Reported) and message.waits:
                workers.leave(message.job, True)
            ended.extend([message] if isinstance(message, JobEnded) else [])
        return bool(ended)

    eventually(over)
    workers.discard()
    workers.close()
    assert not list(piped.folder.glob("host-*/*"))
    piped.check_nothing_is_left()


# The session's file


def test_a_run_that_was_killed_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    said: list[str] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    assert SessionFile(tmp_path, 30.0).make(said.append) == 0.0
    (tmp_path / ".copy-1").mkdir()
    before = time.time()
    wait_for_earlier_runs(tmp_path, said.append)
    assert slept == [pytest.approx(34.5, abs=5.0)]
    (line,) = said
    until = [time.strftime("%H:%M:%S", time.localtime(before + slept[0] + more)) for more in (-1, 0, 1, 2)]
    assert line.startswith(f"waiting {slept[0]:.0f} s, until ")
    assert any(f"until {clock}: the study's process was killed, and hosts may" in line for clock in until)
    assert not list(tmp_path.iterdir())


def test_the_file_of_a_run_shows_that_it_goes_on(piped: Piped) -> None:
    """By its time, from which on hosts may run its trials for as long as a lease."""
    workers = piped.workers()
    try:
        workers.prepare()
        (file,) = piped.trials.glob(".probe-*")
        os.utime(file, (0, 0))
        eventually(lambda: file.stat().st_mtime > 0)
    finally:
        workers.close()


def test_nobody_waits_for_a_run_that_ended(tmp_path: Path) -> None:
    said: list[str] = []
    earlier = SessionFile(tmp_path, 30.0)
    earlier.make(said.append)
    earlier.remove()
    wait_for_earlier_runs(tmp_path, said.append)
    assert said == []
