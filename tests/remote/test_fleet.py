"""The fleet, held against a pretended network in which everything goes wrong, and in examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.errors import ExecutorError, ParameterError
from hbsim.executors.remote.allocation import WorkerAllocator, versions
from hbsim.executors.remote.checkpoints import TRIES, Checkpoints, Get, Put
from hbsim.executors.remote.fleet import Fleet
from hbsim.executors.remote.fleet_agents import Clocks
from hbsim.executors.remote.protocol import ROOM
from hbsim.runner.workers import Assignment, JobEnded, Reported, WorkerClosed, WorkerOpened
from tests.doubles.fake_network import NOTICE, FakeHost, FakeNetwork, Run
from tests.profile import examples

LEASE = 6.0


@dataclass
class Runner:
    """What the loop does, in short: gives jobs to free workers, answers, tries again what was lost."""

    network: FakeNetwork
    random: Random
    jobs: dict[int, tuple[int, int]] = field(default_factory=dict)  # under way: worker, trial
    ended: list[JobEnded] = field(default_factory=list)
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
        self.network.fleet.start(worker, Assignment(job, trial, 0, 0.0, stop, [0.5], 1), self.network.now)

    def _hear(self, message: Any) -> None:
        if isinstance(message, WorkerOpened):
            assert message.worker not in self.open, message
            self.open[message.worker] = message.host
        elif isinstance(message, WorkerClosed):
            del self.open[message.worker]
        elif isinstance(message, Reported):
            assert message.job in self.jobs, "a report of a job that has ended"
            assert message.first == self.rows[message.job] or not message.rows, (
                "a report is missing, or twice"
            )
            self.rows[message.job] += len(message.rows)
            assert all(row.at <= self.network.now for row in message.rows)
            if message.waits:
                self._decide(message)
        elif isinstance(message, JobEnded):
            self._end(message)

    def _decide(self, message: Reported) -> None:
        fleet, what = self.network.fleet, self.random.random()
        if what < 0.4 and not self.closing:
            fleet.jobs.go_on(message.job, message.rows[-1].resource + 1)
        elif what < 0.9:
            self.saving.add(message.job)
            fleet.jobs.leave(message.job, True)
        else:
            self.stopping.add(message.job)
            fleet.jobs.leave(message.job, False)

    def _end(self, ended: JobEnded) -> None:
        _, trial = self.jobs.pop(ended.job)  # each job ends once
        self.ended.append(ended)
        if ended.job in self.stopping and ended.kind is None:
            self.network.fleet.prune(trial)
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
    fleet = Fleet(WorkerAllocator(None, resource or {"num_cpus": 1}), Checkpoints(url, {}, {}), LEASE)
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


@settings(max_examples=examples(25, 8), deadline=None)
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


@settings(max_examples=examples(10, 5), deadline=None)
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
        moved: set[int] = set()
        hosts: dict[int, str] = {}
        for run in network.history:
            if hosts.get(run.trial, run.host) != run.host:
                moved.add(run.job)
            hosts[run.trial] = run.host
        begun = {run.job for run in network.history}
        assert {copy.job for copy in network.copies if isinstance(copy, Put)} & begun == moved


@settings(max_examples=examples(10, 5), deadline=None)
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


# Examples


def cluster(
    *hosts: FakeHost, lease: float = 30.0, url: bool = False, workers: int | None = None, **more: Any
) -> FakeNetwork:
    """Return a network whose hosts have been divided among workers."""
    resource = more.pop("resource", {"num_cpus": 1})
    checkpoints = Checkpoints(url, more.pop("in_folder", {}), more.pop("stored", {}))
    network = FakeNetwork(
        Fleet(WorkerAllocator(workers, resource), checkpoints, lease), Random(1), lease, **more
    )
    network.fleet.expected = len(hosts)
    network.hosts += hosts
    network.step(2)
    network.fleet.open(network.now)
    network.step(0.2)
    return network


def start(network: FakeNetwork, job: int, worker: int, trial: int | None = None, stop: float = 99.0) -> None:
    task = Assignment(job, job if trial is None else trial, 0, 0.0, stop, [0.5], 1)
    network.fleet.start(worker, task, network.now)


def of(network: FakeNetwork, kind: type) -> list[Any]:
    """Return all messages of a kind."""
    return [message for _, message in network.all_messages if isinstance(message, kind)]


def opened(network: FakeNetwork) -> dict[int, str]:
    """Return the workers that are open, and their hosts."""
    found: dict[int, str] = {}
    for _, message in network.all_messages:
        if isinstance(message, WorkerOpened):
            found[message.worker] = message.host
        elif isinstance(message, WorkerClosed):
            del found[message.worker]
    return found


def pause(network: FakeNetwork, job: int, seconds: float = 3.0) -> None:
    """Have a job save and leave."""
    network.step(0.5)
    network.fleet.jobs.leave(job, True)
    network.step(seconds)


# Silence, and the lease


def test_a_host_that_is_silent_is_named_within_five_seconds_and_taken_back() -> None:
    host = FakeHost("gpu1", 2)
    network = cluster(host)
    start(network, 0, 0)
    network.step(2)
    network.partition(host, 12)
    network.step(5)
    (note,) = network.notes
    begin, _, end = note.partition(" in ")
    assert begin == "gpu1 does not answer; its trial counts as lost"
    assert 20 < float(end.partition(" s ")[0]) < 31
    assert [message.reason for message in of(network, WorkerClosed)] == ["gpu1 does not answer"] * 2
    network.step(10)
    assert network.notes[1:] == ["gpu1 answers again"]
    assert opened(network) == {0: "gpu1", 1: "gpu1"}
    assert not of(network, JobEnded)
    network.fleet.jobs.leave(0, True)
    network.step(3)
    assert [ended.kind for ended in of(network, JobEnded)] == [None]


def test_what_runs_on_a_silent_host_is_lost_only_when_it_must_have_ended() -> None:
    host = FakeHost("gpu1", 2)
    network = cluster(host, FakeHost("gpu2"))
    start(network, 0, 0)
    start(network, 1, 1)
    network.step(2)
    network.partition(host, 1e9)
    cut = network.now
    network.step(50)
    ends = [(at, ended) for at, ended in network.all_messages if isinstance(ended, JobEnded)]
    assert [ended.job for _, ended in ends] == [0, 1]
    for at, ended in ends:
        assert ended.kind == "lost"
        assert ended.reason == "its host gpu1 was lost: it did not answer"
        assert cut + 28 < at < cut + 36
        assert all(run.end <= at for run in network.history if run.job == ended.job)
    assert opened(network) == {2: "gpu2"}


def test_trials_of_a_silent_agent_count_as_lost_only_when_they_have_noticed_the_end_of_its_lease() -> None:
    clocks = Clocks(lease=30.0, due=0.0)
    clocks.beat(0.0)
    clocks.answer(1, clock=100.0, time=100.0, now=0.0)
    until = clocks.beat(1.0)["until"]  # the agent gets it, and its answer is lost
    assert clocks.rest(until - 100.0 + NOTICE) > 0.0


@pytest.mark.parametrize("clean", [True, False])
def test_an_agent_that_is_known_to_have_ended_with_all_is_lost_at_once(clean: bool) -> None:
    """Else its cores stay taken until the lease is over: another agent there does not get them before."""
    host = FakeHost("gpu1", 2)
    network = cluster(host)
    start(network, 0, 0)
    network.step(2)
    network.kill_agent(host, clean, "signal 9")
    network.step(5)
    if not clean:
        assert not of(network, JobEnded)
        assert opened(network) == {}
        assert "gpu1 is gone (its agent ended: signal 9); its trial counts as lost in" in network.notes[0]
        network.step(30)
    (ended,) = of(network, JobEnded)
    assert ended.reason == "its host gpu1 was lost: its agent ended: signal 9"
    assert opened(network) == {0: "gpu1", 1: "gpu1"}  # by the next agent


def test_reports_are_timed_by_the_controllers_clock() -> None:
    network = cluster(FakeHost("gpu1"), delay=0.01)
    start(network, 0, 0)
    network.step(5)
    rows = [(at, row) for at, said in network.all_messages if isinstance(said, Reported) for row in said.rows]
    assert len(rows) > 1
    assert all(at - 0.5 < row.at <= at for at, row in rows)


# One outage is one failure


def test_an_outage_costs_each_job_that_ran_one_failure_and_no_other_job_any() -> None:
    hosts = FakeHost("gpu1", 2), FakeHost("gpu2", 2)
    network = cluster(*hosts, lease=6.0)
    start(network, 0, 0)
    network.step(1)
    network.interrupt(20)
    network.step(0.5)
    start(network, 1, 1)
    start(network, 2, 2)
    network.step(25)
    assert [(ended.job, ended.kind) for ended in of(network, JobEnded)] == [(0, "lost")]
    start(network, 3, 3)
    network.step(2)
    assert {run.job for run in network.history if run.end > network.now} == {1, 2, 3}
    assert len(opened(network)) == 4


def test_a_job_that_was_not_sent_moves_to_another_host_when_its_own_is_lost() -> None:
    host, other = FakeHost("gpu1"), FakeHost("gpu2")
    network = cluster(host, other)
    network.interrupt(1)
    start(network, 0, 0)
    network.kill_agent(host, True)
    host.off_until = 1e9
    network.step(4)
    assert not of(network, JobEnded)
    assert [run.host for run in network.history] == ["gpu2"]
    assert opened(network) == {0: "gpu2"}  # its worker is there now
    network.fleet.jobs.leave(0, False)
    network.step(1)
    assert [ended.kind for ended in of(network, JobEnded)] == [None]


def test_a_job_that_waits_can_be_called_off() -> None:
    network = cluster(FakeHost("gpu1", 2))
    network.interrupt(5)
    start(network, 0, 0)
    start(network, 1, 1)
    network.step(2)
    assert [said.job for said in of(network, Reported)].count(0) >= 1  # none of them has hung
    network.fleet.jobs.leave(0, True)
    network.fleet.jobs.kill(1, "it is too late")
    network.step(10)
    assert [(end.job, end.kind, end.reason, end.left) for end in of(network, JobEnded)] == [
        (0, None, "", True),
        (1, "lost", "it is too late", False),
    ]
    assert not network.history


# A host that is taken away


def test_a_host_that_is_taken_away_hands_its_trials_back_and_is_closed_once_they_are_copied() -> None:
    host, other = FakeHost("gpu1", 2), FakeHost("gpu2")
    network = cluster(host, other, slow=3.0)
    start(network, 0, 0)
    network.step(2)
    host.begin_at = network.back_off = 1e9
    network.terminate(host)
    start(network, 1, 1)  # crosses the message, and is handed back as well
    network.step(0.3)
    assert [(ended.job, ended.kind) for ended in of(network, JobEnded)] == [
        (0, "preempted"),
        (1, "preempted"),
    ]
    assert host.agent is not None
    network.step(4)
    assert host.agent is None  # it was closed, without waiting
    assert network.folder == {0: 0}
    assert "gpu1 is taken away: SIGTERM" in network.notes
    start(network, 2, 2, trial=0)
    network.step(5)
    assert (network.history[-1].host, network.history[-1].went_on_from) == ("gpu2", 0)


# Checkpoints


def test_a_checkpoint_is_copied_at_once_and_its_trial_waits_for_that_nobody_else() -> None:
    network = cluster(FakeHost("gpu1", 2), slow=5.0)
    start(network, 0, 0)
    pause(network, 0, 0.5)
    assert len(of(network, JobEnded)) == 1
    (copy,) = network.copies
    assert copy == Get("gpu1-1", 0, 0, "/own/trials/000000/checkpoint/0", None, None)
    start(network, 1, 0, trial=0)  # also on the same host: its files must not change
    start(network, 2, 1)
    network.step(0.5)
    assert [run.job for run in network.history] == [0, 2]
    network.step(6)
    assert [run.job for run in network.history] == [0, 2, 1]
    assert network.copies == [copy]


def test_a_trial_that_has_stopped_is_not_copied() -> None:
    host = FakeHost("gpu1")
    network = cluster(host)
    start(network, 0, 0)
    pause(network, 0)
    start(network, 1, 0, trial=0)
    network.step(1)
    network.fleet.jobs.leave(1, False)
    network.step(2)
    network.fleet.prune(0)
    network.step(2)
    assert [copy.job for copy in network.copies] == [0]
    assert host.disk == {}


def test_a_copy_that_fails_since_its_host_is_away_is_made_when_that_is_back() -> None:
    host, other = FakeHost("gpu1"), FakeHost("gpu2")
    network = cluster(host, other, slow=0.5)
    start(network, 0, 0)
    network.step(0.5)
    network.fleet.jobs.leave(0, True)
    network.step(0.3)
    network.partition(host, 8)
    start(network, 1, 1, trial=0)
    network.step(6)
    assert len(network.history) == 1
    assert network.fleet.pending([0]) == {0: "gpu1"}
    network.step(6)
    assert [(run.host, run.went_on_from) for run in network.history] == [("gpu1", -1), ("gpu2", 0)]
    assert [ended.kind for ended in of(network, JobEnded)] == [None]
    assert network.fleet.pending([0]) == {}


@pytest.mark.parametrize("earlier", [True, False])
def test_a_trial_whose_newest_checkpoint_is_lost_with_its_host_goes_on_from_what_there_is(
    earlier: bool,
) -> None:
    host = FakeHost("gpu1", disk={3: 8})
    network = cluster(host, FakeHost("gpu2"), in_folder={3: 5} if earlier else {}, slow=9.0)
    network.folder.update({3: 5} if earlier else {})
    network.switch_off(host, 1e9)
    network.step(40)
    start(network, 9, 1, trial=3)
    network.step(10)
    assert network.history[-1].went_on_from == (5 if earlier else -1)
    place = "on gpu1, which cannot be reached"
    said = f"trial 3 goes on from an earlier checkpoint: the newest is {place}"
    assert network.notes[-1] == (said if earlier else f"trial 3 starts anew: its checkpoint is {place}")


def test_of_two_hosts_the_one_that_can_be_reached_gives_its_older_checkpoint() -> None:
    gone = FakeHost("gpu1", disk={3: 8})
    network = cluster(gone, FakeHost("gpu2", disk={3: 7}), FakeHost("gpu3"), slow=0.1)
    network.folder.clear()
    network.switch_off(gone, 1e9)
    fleet = Fleet(WorkerAllocator(None, None), Checkpoints(False, {}, {}), 30.0)
    network.fleet = fleet
    for host in network.hosts[1:]:
        network.kill_agent(host, True)
    network.step(5)
    fleet.open(network.now)
    network.step(1)
    start(network, 9, 1, trial=3)
    network.step(5)
    assert (network.history[-1].host, network.history[-1].went_on_from) == ("gpu3", 7)


def test_a_copy_that_cannot_be_made_is_tried_again_and_then_fails_the_job_that_needs_it() -> None:
    network = cluster(FakeHost("gpu1"), in_folder={0: 5})
    network.folder[0] = 5
    network.breaks_copies = 1.0
    start(network, 9, 0, trial=0)
    network.step(20)
    assert len(network.copies) == TRIES
    (ended,) = of(network, JobEnded)
    assert (ended.kind, ended.reason) == (
        "lost",
        "its checkpoint cannot be copied to gpu1: the disk is full",
    )


def test_with_a_url_checkpoints_come_from_there() -> None:
    network = cluster(FakeHost("gpu1"), FakeHost("gpu2"), url=True, slow=3.0)
    start(network, 0, 0)
    pause(network, 0, 0.5)
    start(network, 1, 1, trial=0)
    network.step(0.3)
    assert len(network.history) == 1  # it is on its way to the store
    network.step(4)
    assert (network.history[1].host, network.history[1].went_on_from) == ("gpu2", 0)
    assert network.copies == []
    network.fleet.jobs.leave(1, False)
    network.step(1)
    network.fleet.prune(0)
    network.step(1)
    assert network.url == {}
    assert network.fleet.pending([0]) == {}


def test_a_checkpoint_that_cannot_be_brought_to_the_store_is_copied_here() -> None:
    host = FakeHost("gpu1")
    network = cluster(host, url=True, slow=3.0)
    start(network, 0, 0)
    pause(network, 0, 0.5)
    assert host.agent is not None
    host.agent.uploads.clear()
    network.say(host.agent, {"m": "stored", "job": 0, "trial": 0, "problem": "access denied"})
    network.step(4)
    assert network.notes == ["trial 0 has no new checkpoint in the store: access denied"]
    assert network.folder == {0: 0}
    assert network.fleet.pending([0]) == {}


def test_an_older_checkpoint_that_comes_to_the_store_late_does_not_count() -> None:
    host = FakeHost("gpu1", disk={3: 5})
    network = cluster(host, FakeHost("gpu2"), url=True, stored={3: 9})
    network.url[3] = 9
    assert host.agent is not None
    network.say(host.agent, {"m": "stored", "job": 5, "trial": 3, "problem": None})
    network.step(0.5)
    start(network, 20, 1, trial=3)
    network.step(1)
    assert network.history[-1].went_on_from == 9


def test_a_host_that_comes_back_removes_what_was_pruned_meanwhile() -> None:
    host = FakeHost("gpu1", disk={3: 8})
    network = cluster(host, FakeHost("gpu2"))
    network.switch_off(host, 20)
    network.fleet.prune(3)
    network.step(60)
    assert host.disk == {}


# Hosts that can run no trials

FULL = {"field": "folder", "value": "/work", "rule": "cannot be written"}
SAID = "gpu1 gets no trials: folder='/work': cannot be written (on gpu1)"


def test_a_host_that_can_run_no_trials_is_named_once_and_others_go_on() -> None:
    host = FakeHost("gpu1", 2)
    network = cluster(host, FakeHost("gpu2"))
    start(network, 0, 0)
    network.step(1)
    host.fatal = FULL
    assert host.agent is not None
    network.say(host.agent, {"m": "fatal", **FULL})
    network.step(10)
    assert network.notes.count(SAID) == 1
    assert opened(network) == {2: "gpu2"}
    assert not of(network, JobEnded)  # what runs there may end well
    network.fleet.jobs.leave(0, True)
    network.step(60)  # it is closed, and other agents are tried
    assert [ended.kind for ended in of(network, JobEnded)] == [None]
    assert network.notes.count(SAID) == 1
    assert network.fleet.fatal is None
    assert network.fleet.ready(network.now) == (1, 1)
    host.fatal = None  # somebody has mended it
    network.step(5)
    assert opened(network) == {0: "gpu1", 1: "gpu1", 2: "gpu2"}


def test_before_the_first_trial_the_study_ends_at_once_if_no_host_can_run_trials() -> None:
    network = FakeNetwork(
        Fleet(WorkerAllocator(None, None), Checkpoints(False, {}, {}), 30.0), Random(1), 30.0
    )
    network.fleet.expected = 2
    network.add("gpu1", fatal=FULL)
    network.step(3)
    assert network.fleet.fatal is None  # the other may come
    assert network.notes == [SAID]
    network.fail("gpu2", "there is no hbsim", final=True)
    network.step(1)
    assert isinstance(network.fleet.fatal, ParameterError)
    assert network.fleet.fatal.field == "folder"


@pytest.mark.parametrize("how", ["final", "unreachable", "dies"])
def test_a_study_does_not_begin_if_its_only_host_never_comes(how: str) -> None:
    network = FakeNetwork(
        Fleet(WorkerAllocator(None, None), Checkpoints(False, {}, {}), 30.0), Random(1), 30.0
    )
    network.fleet.expected = 1
    host = network.add("gpu1", never_ready=True) if how == "dies" else None
    for attempt in range(3):
        assert network.fleet.fatal is None
        if host is not None:
            network.step(2)
            network.kill_agent(host, True, f"exit code {attempt}")
            network.step(0.3)
        else:
            network.fail("gpu1", f"no answer {attempt}", final=how == "final")
        network.step(0.1)
        if how == "final":
            break
    reason = {"final": "no answer 0", "unreachable": "no answer 2", "dies": "its agent ended: exit code 2"}[
        how
    ]
    assert str(network.fleet.fatal) == f"hosts='gpu1': none can run trials: gpu1: {reason}"
    assert network.fleet.ready(network.now) == (0, 0)


@pytest.mark.parametrize("back", [True, False])
def test_a_study_ends_after_the_lease_when_no_host_is_left_that_could_run_trials(back: bool) -> None:
    host = FakeHost("gpu1")
    network = cluster(host)
    host.fatal = FULL
    network.kill_agent(host, True)
    network.step(25)
    assert network.fleet.fatal is None
    host.fatal = None if back else FULL
    network.step(30)
    if back:
        assert network.fleet.fatal is None
        assert opened(network) == {0: "gpu1"}
    else:
        assert isinstance(network.fleet.fatal, ExecutorError)
        assert str(network.fleet.fatal).startswith("the hosts: none can run trials any more: folder='/work'")


def test_hosts_that_cannot_be_reached_are_waited_for_however_long() -> None:
    host = FakeHost("gpu1")
    network = cluster(host)
    start(network, 0, 0)
    network.switch_off(host, 600)
    for _ in range(20):
        network.step(30)
        network.fail("gpu1", "no route to host")
    assert network.notes.count("gpu1 gets no trials yet: no route to host") == 1
    assert network.fleet.fatal is None
    network.step(10)
    assert opened(network) == {0: "gpu1"}


def test_a_cluster_without_workers_waits() -> None:
    host, other = FakeHost("w1"), FakeHost("w2", fatal=FULL)
    network = cluster(host, other)
    for one in (host, other):
        one.off_until = 1e9
        network.kill_agent(one, True)
        network.fail(one.name, "it left the cluster", gone=True)
    network.step(200)
    assert network.fleet.fatal is None


def test_a_line_that_makes_no_sense_is_the_agents_last() -> None:
    for line in ("Traceback (most recent call last):", "[1]", '{"m": "said", "job": 0}', '{"m": "beat"}'):
        host = FakeHost("gpu1")
        network = cluster(host, FakeHost("gpu2"))
        assert host.agent is not None
        host.agent.messages.append((network.now, line))
        network.step(0.5)
        assert network.notes[0].startswith("gpu1: it sent a line that makes no sense")
        assert network.notes[0].endswith(repr(line))
        assert opened(network) == {1: "gpu2"}
        network.step(3)
        assert opened(network) == {0: "gpu1", 1: "gpu2"}


@pytest.mark.parametrize("of_", ["report", "checkpoint"])
@pytest.mark.parametrize("others", [True, False])
def test_a_trial_that_does_not_do_what_it_has_to_ends_the_study_unless_others_did(
    of_: str, others: bool
) -> None:
    host = FakeHost("gpu1", 2)
    network = cluster(host)
    assert host.agent is not None
    start(network, 0, 0)
    network.step(5 if others or of_ == "checkpoint" else 0.1)  # that others have reported does not count
    if others:
        pause(network, 0)
    network.say(host.agent, {"m": "fatal", "field": "metric", "value": "f", "rule": "must", "trial": of_})
    network.step(0.5)
    assert (network.fleet.fatal is None) is others
    assert len(opened(network)) == 2


# Versions, GPUs, workers


def test_other_versions_are_an_error_or_a_note() -> None:
    ours = versions()
    other = {"versions": {**ours, "hbsim": "9.9"}}
    newer = {"versions": {**ours, "torch": "9.9"}}
    network = cluster(
        FakeHost("a"), FakeHost("b", more=other), FakeHost("c", more=newer), FakeHost("d", more=newer)
    )
    assert set(opened(network).values()) == {"a", "c", "d"}
    assert (
        f"b gets no trials: b runs hbsim 9.9 instead of {ours['hbsim']}: install the same there"
        in network.notes
    )
    if "torch" in ours:
        (said,) = [note for note in network.notes if "differently" in note]
        assert said.startswith("c, d run torch 9.9 instead of ")

    network = FakeNetwork(
        Fleet(WorkerAllocator(None, None), Checkpoints(False, {}, {}), 30.0), Random(1), 30.0
    )
    network.add("b", more=other)
    network.step(2)
    assert isinstance(network.fleet.fatal, ParameterError)


def test_a_host_without_a_gpu_gets_no_trials_of_a_study_with_gpus_and_people_are_told() -> None:
    network = cluster(FakeHost("gpu1", 4, gpus=2), FakeHost("cpu1", 16), resource={})
    assert opened(network) == {0: "gpu1", 1: "gpu1"}
    assert network.notes == [
        "the hosts differ in GPUs: none (cpu1), 2 x A100 (gpu1); CPU cores: 16 (cpu1), 4 (gpu1)",
        "cpu1 gets no trials: it has no GPU, and other hosts have; "
        "--num-gpus 0 has trials train without GPUs, there too",
    ]
    network.add("cpu2", 16)
    network.add("gpu2", 4, gpus=1)
    network.step(3)
    assert sorted(opened(network).values()) == ["gpu1", "gpu1", "gpu2"]

    network = cluster(FakeHost("gpu1", 4, gpus=2), FakeHost("cpu1", 3), resource={"num_gpus": 0})
    assert sorted(opened(network).values()) == ["cpu1"] * 3 + ["gpu1"] * 4
    start(network, 0, 0)
    network.step(1)
    assert network.history[0].gpus == ""


def test_a_host_whose_driver_does_not_answer_gets_no_trials() -> None:
    broken = {"gpu_problem": "it has 2 NVIDIA GPUs, and the driver does not answer"}
    network = cluster(FakeHost("gpu1", 4, gpus=1), FakeHost("gpu2", 4, more=broken), resource={})
    assert opened(network) == {0: "gpu1"}
    assert any(note.startswith(f"gpu2 gets no trials: {broken['gpu_problem']}; ") for note in network.notes)
    network = cluster(FakeHost("gpu2", 4, more=broken), resource={"num_gpus": 0})
    assert len(opened(network)) == 4
    with pytest.raises(ParameterError, match="gpu2: it has 2 NVIDIA GPUs, and the driver does not answer; "):
        cluster(FakeHost("gpu2", 4, more=broken), FakeHost("cpu1", 4), resource={})


def test_what_no_host_has_is_an_error_before_the_first_trial() -> None:
    with pytest.raises(ParameterError, match="a trial needs 3 GPUs; gpu1 has 2 GPUs"):
        cluster(FakeHost("gpu1", 4, gpus=2), FakeHost("cpu1", 4), resource={"num_gpus": 3})


def test_workers_that_do_not_fit_are_named_and_come_with_hosts() -> None:
    network = cluster(FakeHost("a", 2), workers=3)
    assert network.notes == ["workers=3: 2 fit on the host that there is now; more start as hosts come"]
    network.add("b", 4)
    network.step(3)
    assert opened(network) == {0: "a", 1: "a", 2: "b"}


# Flow


def test_agents_are_told_what_the_runner_has_taken_much_at_once_and_little_with_a_beat() -> None:
    host = FakeHost("gpu1")
    network = cluster(host)
    start(network, 0, 0, stop=1.0)
    network.step(4)
    agent = host.agent
    assert agent is not None
    row = [network.now + agent.offset, 1.0, 1.0, {f"metric {number}": 0.5 for number in range(2000)}]
    before = len(network.orders)
    for number in range(8):
        network.say(agent, {"m": "said", "job": 0, "rows": [row], "first": 100 + number, "waits": False})
    network.step(0.2)
    told = [order for _, order in network.orders[before:] if order["o"] == "taken"]
    assert told
    assert 2 * told[-1]["taken"] > ROOM // 4
    network.say(agent, {"m": "said", "job": 77, "rows": [row], "first": 0, "waits": False})  # of no job
    network.step(2)
    beats = [order for _, order in network.orders if order["o"] == "beat"]
    assert beats[-1]["taken"] == agent.sent
