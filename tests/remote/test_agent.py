"""Agents: what they are ordered and say, and that nothing is left of them, however they end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from hbsim.executors import checkpoint
from hbsim.executors.remote.agent import SEVERAL
from tests.doubles.checkpoints import describe_newest
from tests.executors.serving import alive, wait_until
from tests.remote.agents import TRAIN, Agent, gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")


@pytest.fixture
def agent(tmp_path):
    """Start agents, and end them."""
    made = []

    def start(place="place", **options):
        folder = tmp_path / place
        folder.mkdir(exist_ok=True)
        made.append(Agent(folder, **options))
        return made[-1]

    yield start
    for one in made:
        one.close()


def swept(folder):
    """Whether a folder could be removed, whose owners may write into it meanwhile."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def with_constant(assignment):
    """Return the command of an agent with another constant."""
    code = f"from hbsim.executors.remote import agent; agent.{assignment}; agent.main()"
    return [sys.executable, "-P", "-c", code]


def resources(body):
    return [row[2] for row in body["rows"]]


def all_resources(one, ended):
    """What a job has reported, of what is not yet read of it, until its end."""
    bodies = [body for body in (*one.said, ended) if body.get("job") == ended["job"]]
    return [resource for body in bodies for resource in resources(body)]


# What is said


def test_a_job_from_hello_to_its_end(agent):
    one = agent(pipes=False)
    one.start(4, 3, stop=2.0)  # before anything is ready
    hello = one.until("hello")
    assert (hello["shared"], hello["holds"]) == (False, {})
    assert one.until("ready")["seconds"] >= 0
    os.kill(one.process.pid, signal.SIGINT)  # Ctrl-C is the controller's
    said = one.until("said", waits=True)
    assert (said["job"], resources(said)[-1]) == (4, 2.0)
    one.order("go", job=99, stop=None)  # nobody knows it
    one.order("go", job=4, stop=None)
    ended = one.until("ended")
    assert (ended["kind"], ended["left"], ended["first"]) == (None, False, 3)
    assert all_resources(one, ended)[-1] == 3.0
    assert (ended["saved"], ended["folder"], ended["log"]) == (None, None, "trial 3 begins\n")
    assert ended["files"] == str(one.folder(3) / "files")


def test_reports_that_nobody_waits_for_come_in_batches_and_in_order(agent):
    one = agent()
    one.start(0, 3, "chatty")
    said = [one.until("said") for _ in range(2)]
    assert said[1]["first"] == len(said[0]["rows"])
    assert len(said[1]["rows"]) > 10  # about a second's reports together
    one.order("leave", job=0, save=True)
    ended = one.until("ended")
    one.said[:0] = said
    found = all_resources(one, ended)
    assert found == list(range(1, len(found) + 1))
    assert (ended["kind"], ended["left"], ended["saved"]) == (None, True, 0)
    assert describe_newest(one.folder(3) / "checkpoint")["job"] == 0


def test_a_trial_goes_on_from_its_checkpoint_and_sends_only_its_own_log(agent):
    one = agent()
    one.start(0, 3, "hold", stop=2.0)
    one.pids(3)
    (one.folder(3) / "files" / "go").touch()
    one.until("said", waits=True)
    one.order("leave", job=0, save=True)
    ended = one.until("ended")
    assert (ended["saved"], ended["left"]) == (0, True)
    assert checkpoint.describe_one(Path(ended["folder"]))["job"] == 0
    one.said.clear()
    one.start(1, 3, "hold", earlier=[(0, 0.0, 2)])
    ended = one.until("ended")
    assert all_resources(one, ended) == [3.0]
    assert (ended["saved"], ended["log"]) == (1, "trial 3 begins\n")
    one.order("close", clean=False)
    assert one.ended() == 0
    two = agent()
    about = {"job": 1, "folder": ended["folder"], "best": ended["best"], "files": ended["files"]}
    assert two.until("hello")["holds"] == {"3": about}
    two.order("prune", trials=[3, 99])
    wait_until(lambda: not (two.folder(3) / "files").exists())
    assert not (two.folder(3) / "checkpoint").exists()
    assert (two.folder(3) / "log.txt").exists()
    two.order("close", clean=True)
    assert two.ended() == 0
    assert not two.work.exists()


def test_an_agent_that_sees_the_folder_of_the_study_works_there(agent):
    one = agent(sees=True, train=TRAIN + "    reporter.save({'epoch': 3})\n")
    one.start(0, 3)
    hello = one.until("hello")
    assert hello["shared"]
    one.order("go", job=0, stop=None)
    ended = one.until("ended")
    assert ended["saved"] == 0
    assert (ended["folder"], ended["files"], ended["log"]) == (None, None, None)
    assert "begins" in (one.trials / "000003" / "log.txt").read_text()


# What goes wrong


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"train": "import hbsim\ntrain_fn = 1 / 0\n"}, "train", "ZeroDivisionError"),
        ({"train": "import os\nos.abort()\n"}, "train", "signal 6"),
        ({"storage": "shared"}, "storage", "does not see"),
    ],
)
def test_an_agent_that_can_run_no_trials_says_why_and_ends(agent, options, field, words):
    one = agent(**options)
    fatal = one.until("fatal")
    assert fatal["field"] == field
    assert words in fatal["rule"]
    assert one.ended() == 0


def test_a_job_that_cannot_be_started_is_the_only_one_to_fail(agent):
    one = agent()
    one.until("ready")
    one.trials.mkdir()
    one.folder(3).write_text("no folder")
    one.start(3, 3)
    ended = one.until("ended", job=3)
    assert (ended["kind"], ended["begun"], ended["log"]) == ("error", None, None)
    assert "it cannot be started" in ended["reason"]
    assert "File exists" in ended["reason"]
    one.start(4, 4)
    assert one.until("ended", job=4)["kind"] is None
    assert not [body for body in one.said if body["m"] == "fatal"]


def test_a_host_where_several_jobs_in_a_row_cannot_be_started_says_so(agent):
    one = agent()
    one.start(99, 99, "hold")
    pids = one.pids(99)
    for trial in range(SEVERAL):
        one.folder(trial).write_text("no folder")
    for job in range(SEVERAL + 1):
        one.start(job, job)
    kinds = [one.until("ended", job=job)["kind"] for job in range(SEVERAL - 1)]
    assert kinds == ["error"] * (SEVERAL - 1)
    fatal = one.until("fatal")
    assert (fatal["field"], fatal["value"]) == ("folder", str(one.folder(SEVERAL - 1)))
    assert "trial" not in fatal
    assert one.ended() == 0
    assert gone(pids)


def test_an_agent_whose_folder_was_tidied_ends(agent):
    """Else each trial that it is given would end at once, and it would be given all that there are."""
    one = agent()
    one.start(0, 3, "hold")
    pids = one.pids(3)
    wait_until(lambda: swept(one.work))
    assert one.ended() == 0
    assert gone(pids)
    said = one.process.stderr.read().decode()
    assert "was removed" in said
    assert "HBSIM_WORK" in said


FORGETFUL = """
import hbsim

@hbsim.args(mode=hbsim.Choice("plain", "hold", "chatty"))
def train_fn(args, reporter):
    for epoch in range(1, 4):
        reporter(epoch=epoch, **({} if reporter.trial == 9 else {"loss": 1.0}))
"""


def test_a_trial_that_reports_wrongly_is_the_only_one_to_fail(agent):
    """Whether others have done better elsewhere, the agent cannot know."""
    one = agent(train=FORGETFUL)
    one.start(0, 9)
    fatal = one.until("fatal")
    assert (fatal["field"], fatal["trial"]) == ("metric", "report")
    ended = one.until("ended", job=0)
    assert ended["kind"] == "error"
    assert ended["reason"].startswith("metric='loss': every report must have it")
    one.start(1, 3)
    assert one.until("ended", job=1)["kind"] is None
    one.start(2, 9)
    assert one.until("ended", job=2)["kind"] == "error"
    assert not [body for body in one.said if body["m"] == "fatal"]  # now it knows


def test_an_agent_whose_server_is_killed_ends(agent):
    one = agent()
    one.start(0, 3, "hold")
    pids = one.pids(3)
    (server,) = one.servers()
    os.kill(server, signal.SIGKILL)
    assert one.until("ended", job=0)["kind"] == "lost"
    assert one.ended() == 0
    assert gone(pids)


def test_a_job_that_a_later_one_has_overtaken_writes_no_checkpoint(agent):
    one = agent(sees=True)
    one.start(5, 3, "hold", stop=2.0)
    pids = one.pids(3)
    assert checkpoint.claim(one.folder(3) / "checkpoint", 6)  # on another host
    (one.folder(3) / "files" / "go").touch()
    assert one.until("ended")["kind"] == "error"
    assert gone([pid for pid in pids if pid not in (one.process.pid, *one.servers())])
    assert describe_newest(one.folder(3) / "checkpoint") is None
    assert "later job" in (one.folder(3) / "log.txt").read_text()
    one.start(4, 3)
    refused = one.until("ended", job=4)
    assert (refused["kind"], refused["saved"]) == ("lost", None)


# The end


def busy(one):
    """Start two trials; return the processes of all."""
    one.start(0, 3, "hold")
    one.start(1, 4, "chatty")
    pids = one.pids(3, 4)
    assert len(pids) == 8
    assert all(alive(pid) for pid in pids)
    return pids


def close(one):
    one.order("close", clean=False)


def hang_up(one):
    one.hang_up()


def end_its_output(one):
    os.close(one.out)
    one.out = one.into


def say_what_is_no_order(one):
    one.write("what is this?")


def hang_up_on_a_server_that_hangs(one):
    (server,) = one.servers()
    os.kill(server, signal.SIGSTOP)
    one.start(2, 5)  # its constants are more than fits into a socket that nobody reads
    wait_until(lambda: one.folder(5).exists())
    one.hang_up()


def hang(one):
    one.order("prune", trials=[99])


def kill(one):
    one.process.kill()


ENDS = [
    (close, 0),
    (hang_up, 0),
    (end_its_output, 0),
    (say_what_is_no_order, 0),
    (hang_up_on_a_server_that_hangs, 0),
    (hang, -signal.SIGALRM),
    (kill, -signal.SIGKILL),
]


@pytest.mark.parametrize(("end", "status"), ENDS)
def test_nothing_is_left(agent, end, status):
    more = {}
    if end is hang:
        more = {
            "lease": 3.0,
            "command": with_constant(
                "AgentJobs.prune = lambda *given: agent.time.sleep(600); agent._HANGS = 1"
            ),
        }
    one = agent(constants={"text": "x" * 1_000_000}, **more)
    pids = busy(one)
    end(one)
    assert one.ended() == status
    wait_until(lambda: gone(pids))
    assert not list(one.work.glob(".lease*"))


def test_the_lease_ends_everything_whatever_is_stopped(agent):
    made = [agent(place, lease=2.0) for place in ("silent", "stopped", "both")]
    silent, stopped, both = made
    for one in made:
        one.peers = made  # nobody's lease ends while another one begins
    pids = {one: busy(one) for one in made}
    begun = time.monotonic()
    silent.listen(lambda: time.monotonic() > begun + 0.5)  # the leases are new
    (server,) = both.servers()
    for pid in (stopped.process.pid, both.process.pid, server):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.7)
    assert all(alive(pid) for one in pids for pid in pids[one])
    assert silent.ended() == 0
    assert gone(pids[silent])
    wait_until(lambda: gone([pid for pid in pids[stopped] if pid != stopped.process.pid]))
    os.kill(stopped.process.pid, signal.SIGCONT)
    assert stopped.ended() == 0
    # Where nobody else can end them, trials do so as soon as they report.
    wait_until(lambda: not alive(int((both.folder(4) / "files" / "pid").read_text())))
    assert "the lease of this trial is over" in (both.folder(4) / "log.txt").read_text()
    os.kill(both.process.pid, signal.SIGCONT)
    assert both.ended() == 0
    assert gone(pids[both])


ROOM = 100_000
FLOOD = """
import os, time
import hbsim

@hbsim.args(mode=hbsim.Choice("plain", "hold", "chatty"))
def train_fn(args, reporter):
    (reporter.folder / "pid").write_text(str(os.getpid()))
    try:
        while args.mode == "hold":
            time.sleep(0.01)
    finally:
        (reporter.folder / "finally").touch()
    for epoch in range(1, 10**9):
        reporter(epoch=epoch, loss=1.0 / epoch)
"""


def test_trials_wait_while_too_much_is_not_taken_and_can_still_be_stopped(agent):
    one = agent(train=FLOOD, command=with_constant(f"ROOM = {ROOM}"))
    one.takes = False
    one.until("ready")
    one.start(0, 3, "hold")
    one.start(1, 4)
    quiet = 0
    while quiet < 3:  # beats are answered all the time, and soon nothing else is said
        before, one.beats = len(one.said), 0
        one.listen(lambda: one.beats >= 1)
        quiet = quiet + 1 if one.sent > ROOM and len(one.said) == before else 0
        assert one.sent < ROOM + 2 * (1 << 18)  # what it had read of the trial when it was too much
    pid = int((one.folder(3) / "files" / "pid").read_text())
    one.order("kill", job=0, reason="enough")
    assert one.until("ended", job=0)["reason"] == "enough"  # it comes though nothing else does
    assert not alive(pid)
    assert (one.folder(3) / "files" / "finally").exists()
    one.order("leave", job=1, save=False)  # it hears of it once it goes on
    one.takes = True
    ended = one.until("ended", job=1)
    assert (ended["kind"], ended["left"]) == (None, True)
    found = all_resources(one, ended)
    assert found == list(range(1, len(found) + 1))


# The host is taken away


STUBBORN = """
import os, time
import hbsim

@hbsim.args(mode=hbsim.Choice("plain", "hold", "chatty"))
def train_fn(args, reporter):
    (reporter.folder / "pid").write_text(str(os.getpid()))
    reports = iter([{"epoch": 1, "loss": 1.0}])
    while True:
        try:  # SIGTERM may come while it reports
            for report in reports:
                reporter(**report)
            time.sleep(600)
        except BaseException:
            pass
"""


def test_after_sigterm_trials_save_and_are_handed_back(agent):
    one = agent(grace=60.0)
    one.start(0, 3, "chatty")
    one.start(1, 4, "plain", stop=2.0)
    one.until("said", job=1, waits=True)
    one.until("said", job=0)
    pids = one.pids(3)
    begun = time.monotonic()
    one.process.terminate()
    one.until("leaving")
    one.start(2, 5)
    for job in range(3):
        ended = one.until("ended", job=job)
        assert (ended["kind"], ended["left"]) == ("preempted", False)
        assert ended["saved"] == (None if job == 2 else job)
        assert "is taken away" in ended["reason"]
        if job < 2:
            described = checkpoint.describe_one(Path(ended["folder"]))
            assert (described["job"], described["trial"]) == (job, job + 3)
    assert time.monotonic() - begun < 30.0  # and not after the grace
    assert gone([pid for pid in pids if pid not in (one.process.pid, *one.servers())])
    one.order("close", clean=False)
    assert one.ended() == 0


def test_after_sigterm_to_all_processes_of_the_host_trials_save_too(agent):
    """As ``scancel`` sends it; and whoever has started the agent passes it on."""
    one = agent(grace=60.0)
    one.start(0, 3, "chatty")
    one.until("said", job=0)
    pids = one.pids(3)
    one.start(1, 4, "plain", stop=2.0)
    one.until("said", job=1, waits=True)
    for pid in [*pids, *one.trial_pids(), one.process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    for job in range(2):
        ended = one.until("ended", job=job)
        assert (ended["kind"], ended["saved"]) == ("preempted", job)


def test_what_does_not_leave_after_sigterm_is_killed_and_handed_back_too(agent):
    one = agent(train=STUBBORN)
    one.start(0, 3)
    one.until("said", job=0)
    pids = [*one.servers(), *one.trial_pids()]
    one.process.terminate()
    ended = one.until("ended", job=0)
    assert (ended["kind"], ended["saved"]) == ("preempted", None)
    assert "did not leave within 0.5 s" in ended["reason"]
    assert gone(pids)


def test_an_agent_that_nobody_closes_after_sigterm_ends(agent):
    one = agent(command=with_constant("CLOSE = 0.5"))
    one.until("ready")
    one.process.terminate()
    one.until("leaving")
    assert one.ended() == 0


# Checkpoints that come and go


def test_a_job_goes_on_from_a_checkpoint_that_was_copied_to_its_host(agent, tmp_path):
    one, two = agent("one"), agent("two")
    one.peers = [two]
    one.start(0, 3, stop=2.0)
    one.until("said", waits=True)
    one.order("leave", job=0, save=True)
    ended = one.until("ended")
    stage = Path(two.until("hello")["incoming"]) / "7"
    shutil.copytree(ended["folder"], stage / "checkpoint")
    shutil.copytree(ended["files"], stage / "files")
    (stage / "files" / "more").write_text("more")
    two.start(1, 3, earlier=[(0, 0.0, 2)], checkpoint={"folder": str(stage)})
    ended = two.until("ended")
    assert (ended["kind"], all_resources(two, ended), ended["saved"]) == (None, [3.0], 0)
    assert (two.folder(3) / "files" / "more").read_text() == "more"
    two.start(2, 3, earlier=[(0, 0.0, 2)], checkpoint={"folder": str(stage)})
    ended = two.until("ended", job=2)
    assert (ended["kind"], ended["begun"]) == ("lost", None)
    assert "checkpoint" in ended["reason"]
    assert not list(stage.parent.iterdir())


def test_a_store_behind_a_url(agent, tmp_path):
    url = f"file://{tmp_path}/bucket"
    one, two = agent("one", storage=url), agent("two", storage=url)
    one.peers, two.peers = [two], [one]
    for job in range(2):
        one.start(job, job, stop=2.0)
    for job in range(2):
        one.until("said", job=job, waits=True)
        one.order("leave", job=job, save=job == 0)
    assert one.until("ended", job=0)["saved"] == 0
    assert one.until("stored", job=0)["problem"] is None
    for job, source in ((6, 0), (7, 99)):
        two.start(job, source % 98, earlier=[(0, 0.0, 2)], checkpoint={"job": source})
    ended, lost = (two.until("ended", job=job) for job in (6, 7))
    assert (ended["kind"], all_resources(two, ended), ended["saved"]) == (None, [3.0], 0)
    assert (lost["kind"], lost["begun"]) == ("lost", None)
    assert "cannot be fetched from the store: file://" in lost["reason"]
    assert not [body for body in two.said if body["m"] == "stored"]  # what is there is not sent again
    shutil.rmtree(tmp_path / "bucket")
    (tmp_path / "bucket").write_text("no folder")
    one.start(8, 8, stop=2.0)
    one.until("said", job=8, waits=True)
    one.order("leave", job=8, save=True)
    assert one.until("stored", job=8)["problem"].startswith("file://")
    assert not list((two.work / "incoming").iterdir())


LOUD = """
import os, subprocess, sys
import hbsim

print("a file that prints")
subprocess.run(["echo", "and its children"])
os.write(1, b"and that writes")

@hbsim.args(mode=hbsim.Choice("plain", "hold", "chatty"))
def train_fn(args, reporter):
    print("a trial that prints")
    subprocess.run(["sh", "-c", "ls -l /proc/$$/fd; cat"])
    os.write(1, b"{}\\n" * 999)
    reporter(epoch=1, loss=1.0)
"""


def test_nothing_but_lines_is_ever_written_into_the_line(agent):
    """And nothing but the agent reads orders; all lines are read as JSON here."""
    one = agent(train=LOUD)
    lines = [f"pipe:[{os.fstat(descriptor).st_ino}]" for descriptor in (one.into, one.out)]
    one.start(0, 3)
    ended = one.until("ended")
    assert ended["kind"] is None
    assert "a trial that prints" in ended["log"]
    assert "0 -> /dev/null" in ended["log"]
    assert not any(line in ended["log"] for line in lines)
    one.order("close", clean=False)
    assert one.ended() == 0
    printed = one.process.stderr.read().decode()
    assert "a file that prints\nand its children\nand that writes" in printed
