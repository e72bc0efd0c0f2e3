"""The fleet, held against a pretended network in which everything goes wrong, and in examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.executors.remote.checkpoints import Checkpoints, Put
from hbsim.executors.remote.fleet import Fleet
from hbsim.executors.remote.machines import Machines
from hbsim.runner.workers import Ended, Opened, Said, Shut, Task
from tests.doubles.fake_network import FakeNetwork, Run

LEASE = 6.0


@dataclass
class Runner:
    """What the loop does, in short: gives jobs to free workers, answers, tries again what was lost."""

    network: FakeNetwork
    random: Random
    jobs: dict[int, tuple[int, int]] = field(default_factory=dict)  # under way: worker, trial
    ended: list[Ended] = field(default_factory=list)
    open: dict[int, str] = field(default_factory=dict)  # workers, and their hosts
    paused: list[int] = field(default_factory=list)
    saving: set[int] = field(default_factory=set)  # jobs that are to save and leave,
    stopping: set[int] = field(default_factory=set)  # or only to leave
    saved: dict[int, int] = field(default_factory=dict)  # trials that saved last in which job
    needed: dict[int, int] = field(default_factory=dict)  # by job: whose checkpoint it goes on from, at least
    rows: dict[int, int] = field(default_factory=dict)
    trials: int = 0
    started: int = 0
    closing: bool = False

    def turn(self) -> None:
        messages, self.network.messages = self.network.messages, []
        for message in messages:
            self._hear(message)
        busy = {worker for worker, _ in self.jobs.values()}
        for worker in sorted(self.open.keys() - busy):
            if not self.closing:
                self._start(worker)

    def _start(self, worker: int) -> None:
        if self.paused and self.random.random() < 0.7:
            trial = self.paused.pop(self.random.randrange(len(self.paused)))
        else:
            trial, self.trials = self.trials, self.trials + 1
        job, self.started = self.started, self.started + 1
        self.jobs[job] = (worker, trial)
        self.rows[job] = 0
        self.needed[job] = self.saved.get(trial, -1)
        stop = float(self.random.randint(1, 3))
        self.network.fleet.start(worker, Task(job, trial, 0, 0.0, stop, [0.5], 1), self.network.now)

    def _hear(self, message: Any) -> None:
        if isinstance(message, Opened):
            assert message.worker not in self.open, message
            self.open[message.worker] = message.host
        elif isinstance(message, Shut):
            del self.open[message.worker]
        elif isinstance(message, Said):
            assert message.job in self.jobs, "a report of a job that has ended"
            assert message.first == self.rows[message.job] or not message.rows, (
                "a report is missing, or twice"
            )
            self.rows[message.job] += len(message.rows)
            assert all(row.at <= self.network.now for row in message.rows)
            if message.waits:
                self._decide(message)
        elif isinstance(message, Ended):
            self._end(message)

    def _decide(self, message: Said) -> None:
        fleet, now, what = self.network.fleet, self.network.now, self.random.random()
        if what < 0.4 and not self.closing:
            fleet.go_on(message.job, message.rows[-1].resource + 1, now)
        elif what < 0.9:
            self.saving.add(message.job)
            fleet.leave(message.job, True, now)
        else:
            self.stopping.add(message.job)
            fleet.leave(message.job, False, now)

    def _end(self, ended: Ended) -> None:
        _, trial = self.jobs.pop(ended.job)  # each job ends once
        self.ended.append(ended)
        if ended.job in self.stopping and ended.kind is None:
            self.network.fleet.prune(trial, self.network.now)
            return
        if (ended.job in self.saving and ended.kind is None) or (
            ended.kind == "preempted" and any(run.job == ended.job for run in self.network.history)
        ):
            self.saved[trial] = ended.job
        self.paused.append(trial)


def make(
    seed: int, url: bool = False, resource: dict[str, Any] | None = None, **more: Any
) -> tuple[FakeNetwork, Runner]:
    random = Random(seed)
    fleet = Fleet(Machines(None, resource or {"num_cpus": 1}), Checkpoints(url, {}, {}), LEASE)
    network = FakeNetwork(fleet, random, LEASE, **more)
    return network, Runner(network, random)


def go(network: FakeNetwork, runner: Runner, seconds: float) -> None:
    for _ in range(round(seconds / 0.5)):
        network.step(0.5)
        runner.turn()


def never_twice(network: FakeNetwork) -> None:
    """No two processes of one trial at the same time, by the true time."""
    runs: dict[int, list[Run]] = {}
    for run in sorted(network.history, key=lambda run: run.begin):
        runs.setdefault(run.trial, []).append(run)
    for trial, some in runs.items():
        for first, second in pairwise(some):
            assert first.end <= second.begin, f"trial {trial} ran twice at once"


def trouble(network: FakeNetwork, random: Random) -> None:
    """Let something go wrong."""
    host = random.choice(network.hosts)
    seconds = random.uniform(0.2, 3 * LEASE)
    random.choice(
        (
            lambda: network.kill_agent(host, random.random() < 0.7),
            lambda: network.cut_connection(host),
            lambda: network.partition(host, seconds),
            lambda: network.switch_off(host, seconds),
            lambda: network.stop(host, seconds),
            lambda: network.terminate(host),
            lambda: network.interrupt(seconds / 2),
        )
    )()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(("pull", "shared", "mixed", "url")), st.integers(1, 4))
def test_no_trial_runs_twice_at_once_and_none_waits_for_ever(seed: int, storage: str, hosts: int) -> None:
    network, runner = make(seed, storage == "url", delay=0.3, slow=1.0)
    for number in range(hosts):
        shared = storage == "shared" or (storage == "mixed" and number == 0)
        network.add(f"h{number}", 1 + number % 2, shared=shared)
    network.fleet.open(network.now)
    random = Random(seed + 1)
    for _ in range(80):
        go(network, runner, 0.5)
        if random.random() < 0.15:
            trouble(network, random)
    go(network, runner, 5 * LEASE)  # all is well again
    assert len(runner.open) == sum(host.cpus for host in network.hosts)
    calm = runner.started
    go(network, runner, 3 * LEASE)
    assert runner.started > calm, "nothing happens any more"
    begun = {run.job for run in network.history} | {ended.job for ended in runner.ended}
    assert begun.issuperset(range(calm)), "a job was never started"
    runner.closing = True
    go(network, runner, 3 * LEASE)
    assert not runner.jobs, "a job has never ended"
    go(network, runner, 1) if network.fleet.pending(runner.paused) else None
    assert not network.fleet.pending(runner.paused), "a checkpoint has never come"
    never_twice(network)
    none_anew(network, runner)
    for ended in runner.ended:
        assert ended.kind != "lost" or "start" in sent(network, ended.job), "it was not sent, and failed"
    assert not [note for note in network.notes if "makes no sense" in note]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(("pull", "mixed", "url")))
def test_without_trouble_every_trial_goes_on_from_its_newest_checkpoint(seed: int, storage: str) -> None:
    network, runner = make(seed, storage == "url", delay=0.3, slow=1.0)
    for number in range(3):
        network.add(f"h{number}", 2, shared=storage == "mixed" and number == 0)
    network.fleet.open(network.now)
    go(network, runner, 40)
    assert len(runner.ended) > 20
    assert {ended.kind for ended in runner.ended} == {None}
    assert not [note for note in network.notes if "trial" in note]
    none_anew(network, runner)
    if storage == "pull":  # it is copied to another host only if it goes on there
        moved, hosts = set(), {}
        for run in network.history:
            if hosts.get(run.trial, run.host) != run.host:
                moved.add(run.job)
            hosts[run.trial] = run.host
        begun = {run.job for run in network.history}
        assert {copy.job for copy in network.copies if isinstance(copy, Put)} & begun == moved


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_a_gpu_study_never_runs_on_a_host_without_whatever_comes_and_goes(seed: int) -> None:
    network, runner = make(seed, resource={}, delay=0.3)
    network.add("gpus", 4, gpus=2)
    network.add("none", 16)
    go(network, runner, 2)
    network.fleet.open(network.now)
    random = Random(seed + 1)
    for number in range(40):
        go(network, runner, 0.5)
        if random.random() < 0.2:
            trouble(network, random)
        if number == 20:
            network.add("late", 8)
            network.add("late gpu", 1, gpus=1)
    go(network, runner, 5 * LEASE)
    assert sorted(runner.open.values()) == ["gpus", "gpus", "late gpu"]
    assert {run.host for run in network.history} == {"gpus", "late gpu"}
    running = [run for run in network.history if run.end == float("inf")]
    assert len({run.gpus for run in running}) == len(running)
    assert all(run.gpus for run in network.history)


def none_anew(network: FakeNetwork, runner: Runner) -> None:
    """Every job goes on from what its trial saved last, or newer; else people were told."""
    for run in network.history:
        told = any(f"trial {run.trial} " in note for note in network.notes)
        assert told or run.went_on_from >= runner.needed[run.job], run


def sent(network: FakeNetwork, job: int) -> list[str]:
    """Return the kinds of orders about a job, in order."""
    about = [order for _, order in network.orders if order.get("task", order).get("job") == job]
    return [str(order["o"]) for order in about]
