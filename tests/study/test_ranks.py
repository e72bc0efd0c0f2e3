"""Trials of several processes: rank 0 reports, all leave together, and nothing is left of them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import hbsim
from hbsim.executors.script_process import _last_words
from hbsim.ranks import Ranks
from tests.profile import thorough

PYTHON = sys.executable
ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "tests" / "study" / "ranked.py"
GRACE = 300.0  # seconds: a study that waits for it does not end in time
LAUNCHER = """
import os, subprocess, sys

ranks = [
    subprocess.Popen(
        [sys.executable, "rank.py", *sys.argv[1:]],
        env=os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
        start_new_session=True,
    )
    for rank in range(2)
]
sys.exit(max(rank.wait() for rank in ranks))
"""
RANK = """
import os, sys, time
import hbsim

rank, (lr, mode) = int(os.environ["RANK"]), sys.argv[1:]
state = hbsim.checkpoint_dir() / "epoch"
first = int(state.read_text()) if state.exists() else 0
print(f"rank {rank} of port {os.environ['MASTER_PORT']} from {first}", flush=True)
try:
    for epoch in range(first + 1, 10):
        if rank == 0:
            state.write_text(str(epoch))
        elif mode == "alone" and epoch > first + 1:
            time.sleep(600)  # in a collective operation, of which rank 0 is no more
        if rank == 0 or mode == "all":
            hbsim.report(epoch=epoch, accuracy=float(lr) * epoch if rank == 0 else 99.0)
finally:
    print(f"rank {rank} ends", flush=True)
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("RANK", "5")  # of a launcher that has started the study: it says nothing about trials


def study(train, trials=3, max_t=9, kind="promotion", grace=GRACE, **options):
    scheduler = hbsim.make_scheduler(kind, max_t=max_t, num_trials=trials)
    limits = {"workers": 1, "resource": {"num_cpus": 1}, "progress": "none", "grace": grace}
    return hbsim.run(train, scheduler, folder="exp", **{**limits, **options})


def function(name="train_fn"):
    return f"{FUNCTIONS}:{name}"


def log(trial):
    return Path(f"exp/trials/{trial:06}/log.txt").read_text()


def trained_in():
    """Return the processes that run in this study's environment: none is left."""
    mine = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.environ().get("MARK") == os.environ["MARK"]:
                mine.append(process)
    return mine


def check(result):
    """Check a study whose best trial was paused at level 1, and went on to 3."""
    assert result.failures.is_empty()
    best = result.best
    assert best.resource == 3
    assert best.value == pytest.approx(3 * best.config["lr"])
    mine = result.reports.filter(trial=best.trial)["resource"].to_list()
    assert mine == [1, 2, 3]  # it went on from its checkpoint, and rank 1 has reported nothing
    text = log(best.trial)
    ports = re.findall(r"rank (\d) of port (\d+) from (\d)", text)
    assert [start for rank, _, start in ports if rank == "0"] == ["0", "1"]
    assert len({port for _, port, _ in ports}) == 2  # a job has a port of its own
    assert not trained_in()
    return text


def ends(text):
    return re.findall(r"rank (\d) ends", text)


STARTS = ["fork", *(pytest.param(start, marks=thorough) for start in ("spawn", "forkserver"))]


@pytest.mark.parametrize("start", STARTS)
def test_all_ranks_leave_at_the_same_report(start):
    result = study(function(), args={"start": start})
    text = check(result)
    assert sorted(ends(text)) == ["0", "0", "1", "1"]
    assert "Traceback" not in text
    assert result.best.load() == 3  # of the best report, in whose state all ranks have taken part


def test_a_rank_that_makes_no_reports_is_ended():
    text = check(study(function(), args={"mode": "alone"}))
    assert ends(text) == ["0", "0"]


def test_a_spawned_rank_0_goes_on():
    result = study(function(), trials=1, max_t=2, kind="fifo", args={"start": "spawn"})
    assert result.failures.is_empty()
    assert result.reports["resource"].to_list() == [1, 2]
    assert sorted(ends(log(0))) == ["0", "1"]


@pytest.mark.parametrize(
    ("mode", "kind", "reason"),
    [
        ("error", "error", r"rank 1: ValueError: boom \(ranked.py:\d+\)"),
        ("exit", "error", "rank 1: exit status 3"),
        ("killed", "lost", ".*"),
    ],
)
def test_a_rank_that_fails_fails_the_trial(mode, kind, reason):
    # A rank that is killed says nothing, and the function waits for the other one, which waits for the first.
    options = {"hang_timeout": 3.0, "grace": 1.0} if mode == "killed" else {}
    result = study(function(), trials=1, kind="fifo", args={"mode": mode}, **options)
    assert result.failures["kind"].to_list() == [kind]
    assert re.fullmatch(reason, result.failures["reason"][0])
    assert not trained_in()


def test_processes_report_in_turn():
    result = study(function("in_turn"), trials=1, kind="fifo", max_t=6)
    assert result.failures.is_empty()
    assert result.reports["resource"].to_list() == [1, 2, 3, 4, 5, 6]


def test_two_processes_without_a_rank_do_not_report_both():
    result = study(function("two_of_rank_0"), trials=1, kind="fifo")
    assert "got reports of two processes" in result.failures["reason"][0]


# Scripts


def command(mode):
    Path("launch.py").write_text(LAUNCHER)
    Path("rank.py").write_text(RANK)
    return hbsim.Command(f"{PYTHON} launch.py {{lr}} {mode}", {"lr": hbsim.Real(0.1, 1.0)})


@pytest.mark.parametrize("mode", ["all", "alone"])
def test_ranks_of_a_script(mode, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = check(study(command(mode)))
    assert sorted(ends(text)) == (["0", "0", "1", "1"] if mode == "all" else ["0", "0"])


def test_alone_only_rank_0_prints_its_report(capfd, monkeypatch):
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        hbsim.report(epoch=1, accuracy=0.5)
    assert capfd.readouterr().out == "epoch=1 accuracy=0.5\n"


TORCHRUN = """
Traceback (most recent call last):
  File "torchrun", line 8, in <module>
    sys.exit(main())
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
t.py FAILED
------------------------------------------------------------
Failures:
[1]:
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 10865)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 10865
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  rank      : 1 (local_rank: 1)
  exitcode  : {code} (pid: 10866)
  error_file: <N/A>
  traceback : {traceback}
============================================================
"""
ERROR = 'Traceback (most recent call last):\n  File "t.py", line 1\n    x\nValueError: {}\n'
KILLED = "Signal 9 (SIGKILL) received by PID 7"
NONE = "To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html"


def ranked(rank, text):
    return "".join(f"[rank{rank}]: {line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("one\n two \n\n", "two"),
        (
            ranked(0, ERROR.format("closed"))
            + ranked(1, ERROR.format("boom"))
            + TORCHRUN.format(code=1, traceback=NONE),
            "rank 1: ValueError: boom",
        ),
        (ERROR.format("import") + TORCHRUN.format(code=1, traceback=NONE), "rank 1: ValueError: import"),
        (
            ranked(0, ERROR.format("closed")) + TORCHRUN.format(code=-9, traceback=KILLED),
            f"rank 1: {KILLED}",
        ),
    ],
)
def test_the_reason_is_the_rank_that_failed_first(text, words):
    assert _last_words(text) == words


# The shared memory


@pytest.fixture
def ranks():
    ours = Ranks()
    other = Ranks(os.dup(ours.descriptor))
    yield ours, other
    ours.close()
    other.close()


def test_a_rank_that_is_behind_does_not_wait(ranks):
    ours, other = ranks
    ours.begin(3.0)
    assert other.follow(2.0, lambda: pytest.fail("that save is over"))
    ours.answer()
    assert other.follow(3.0, lambda: pytest.fail("nothing was saved"))
    ours.leave("pause", "\N{SNOWMAN}" * 5000)
    assert not other.follow(4.0, lambda: pytest.fail("nothing was saved"))
    assert other.left == "pause"
    assert other.problem.startswith("\N{SNOWMAN}" * 100)  # as much as there is room for
    ours.clear()
    assert (other.left, other.problem) == ("", "")


def test_a_rank_takes_part_in_each_save_of_its_report(ranks):
    ours, other = ranks
    ours.begin(3.0)
    ours.save()
    saved = []

    def save():
        saved.append(len(saved))
        if len(saved) == 1:
            ours.save()  # first the best state, then that of the pause
        else:
            ours.leave("pause")

    assert not other.follow(3.0, save)
    assert saved == [0, 1]


def test_a_save_of_the_next_report_is_not_one_of_this(ranks):
    ours, other = ranks
    ours.begin(3.0)
    floats = other._floats

    class Between:
        """The floats, between the first two reads of which rank 0 goes on to its next report."""

        reads = 0

        def __getitem__(self, index):
            number = floats[index]
            self.reads += 1
            if self.reads == 1:
                ours.answer()
                ours.begin(4.0)
                ours.save()
            return number

    other._floats = Between()
    try:
        assert other.follow(3.0, lambda: pytest.fail("that save is of the next report"))
    finally:
        other._floats = floats


def test_a_rank_does_not_wait_for_rank_0_that_has_gone(ranks):
    ours, other = ranks
    pid = os.fork()
    if not pid:
        ours.register(0, 2)
        os._exit(0)
    os.waitpid(pid, 0)
    assert other.reporter == pid
    assert other.follow(1.0, lambda: None)


# With PyTorch


@pytest.fixture
def torch():
    pytest.importorskip("sklearn", reason="the examples train on its digits")
    return pytest.importorskip("torch", reason="the examples train with it")


PAGE = (ROOT / "docs" / "how-to" / "several-gpus.md").read_text("utf-8")
COMMANDS = re.findall(r"```sh\nhbsim run (.*?)\n```", PAGE, re.DOTALL)
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
LAUNCH = next(re.finditer(r"`(accelerate launch --.*?)`", PAGE))[1]


def run_command(text, trials, monkeypatch):
    """Run a command of the page, on CPUs and with fewer trials; return the study."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = (
        text.replace("\\\n", " ")
        .replace("torchrun", f"{PYTHON} -m torch.distributed.run")
        .replace("examples/", f"{ROOT}/examples/")
    )
    words = shlex.split(words.replace("--num-gpus 2", "").replace("--num-trials 9", f"--num-trials {trials}"))
    subprocess.run([PYTHON, "-m", "hbsim", "run", *words, "--workers", "1", "--out", "exp"], check=True)
    return hbsim.load("exp")


def test_the_example_with_torchrun(torch, monkeypatch):
    result = run_command(COMMANDS[0], 1, monkeypatch)
    assert result.failures.is_empty()
    assert result.reports["resource"].to_list() == [1]
    assert (result.best.load() / "state.pt").exists()


def test_the_function_of_the_page():
    names = {}
    exec(CODE[0], names)
    assert names["train_fn"].space.names == ("lr",)


@thorough
def test_the_example_with_spawn(torch, monkeypatch):
    result = run_command(COMMANDS[1], 3, monkeypatch)
    assert result.failures.is_empty()
    assert sorted(result.reports.filter(trial=result.best.trial)["resource"]) == [1, 2, 3]
    assert result.best.load()["epoch"] == result.best.resource


LIGHTNING = """
import sys
import hbsim, torch
from lightning.pytorch import Callback, LightningModule, Trainer
from hbsim.integrations.lightning import ReporterCallback, ckpt_path

class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        return self.layer(batch).square().mean()

    def validation_step(self, batch, index):
        self.log("accuracy", float(self.current_epoch + 1), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def fit(callback, path):
    data = torch.utils.data.DataLoader(torch.ones(8, 4), batch_size=2)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=9, accelerator="cpu", devices=2, callbacks=[callback], **quiet)
    trainer.fit(Model(), data, data, ckpt_path=path)

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    fit(ReporterCallback(reporter, "accuracy"), ckpt_path(reporter))
"""


@pytest.fixture
def lightning(torch, monkeypatch):
    pytest.importorskip("lightning", reason="it trains here")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = "file if (file := hbsim.checkpoint_dir() / 'last.ckpt').exists() else None"
    script = f"if __name__ == '__main__':\n    fit(Report(), {path})\n"
    Path("fit.py").write_text(f"{LIGHTNING}\n{CODE[1]}\n{script}")


@thorough
@pytest.mark.parametrize("kind", ["function", "script"])
def test_lightning_with_two_devices(lightning, kind):
    command = hbsim.Command(f"{PYTHON} fit.py {{lr}}", {"lr": hbsim.Real(0.1, 1.0)})
    result = study("fit.py:train_fn" if kind == "function" else command)
    assert result.failures.is_empty()
    best = result.best
    assert (best.resource, best.value) == (3, 3.0)
    assert result.reports.filter(trial=best.trial)["resource"].to_list() == [1, 2, 3]


TRANSFORMERS = """
import os
import torch.multiprocessing as mp
import hbsim
from examples import hf_trainer
from hbsim.integrations.transformers import ReporterCallback, resume_from_checkpoint

def rank(rank, args, reporter):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "yes"}
    hf_trainer.train_fn(args, reporter)

@hbsim.args(lr=hbsim.Real(1e-3, 1e-2), warmup=5, dropout=0.1, batch_size=32)
def train_fn(args, reporter):
    mp.start_processes(rank, args=(args, reporter), nprocs=2, start_method="fork")
"""


@thorough
def test_hugging_face_trainer_with_two_processes(torch, monkeypatch):
    pytest.importorskip("accelerate", reason="Trainer needs it")
    monkeypatch.syspath_prepend(str(ROOT))
    Path("trains.py").write_text(TRANSFORMERS)
    result = study("trains.py:train_fn")
    assert result.failures.is_empty()
    assert result.reports.filter(trial=result.best.trial)["resource"].to_list() == [1, 2, 3]


ACCELERATE = """
import argparse, os
import torch
import hbsim

def train(lr, epoch, report):
    from accelerate import Accelerator
    accelerator = Accelerator(cpu=True)
    print(f"rank {accelerator.process_index} of port {os.environ['MASTER_PORT']} from {epoch}", flush=True)
    try:
        while epoch < 9:
            mean = accelerator.reduce(torch.tensor(lr), "mean")
            epoch += 1
            report(epoch, float(mean) * epoch, accelerator)
    finally:
        print(f"rank {accelerator.process_index} ends", flush=True)

def rank(args, reporter):
    reached = reporter.load() or 0
    reporter.on_pause(lambda: reached)

    def report(epoch, accuracy, accelerator):
        nonlocal reached
        reached = epoch
        reporter(epoch=epoch, accuracy=accuracy)

    train(args.lr, reached, report)

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    from accelerate import notebook_launcher
    notebook_launcher(rank, (args, reporter), num_processes=2, use_port=os.environ["MASTER_PORT"])

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    file = hbsim.checkpoint_dir() / "epoch"

    def save_and_report(epoch, accuracy, accelerator):
        if accelerator.is_main_process:
            file.write_text(str(epoch))
        hbsim.report(epoch=epoch, accuracy=accuracy)

    train(parser.parse_args().lr, int(file.read_text()) if file.exists() else 0, save_and_report)
"""


@thorough
@pytest.mark.parametrize("kind", ["function", "script"])
def test_accelerate_with_two_processes(torch, monkeypatch, kind):
    pytest.importorskip("accelerate", reason="it starts the processes")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ACCELERATE_USE_CPU", "yes")
    Path("trains.py").write_text(ACCELERATE)
    words = LAUNCH.replace("accelerate launch", f"{PYTHON} -m accelerate.commands.launch")
    command = hbsim.Command(f"{words} trains.py --lr {{lr}}", {"lr": hbsim.Real(0.1, 1.0)})
    text = check(study("trains.py:train_fn" if kind == "function" else command))
    assert sorted(ends(text)) == ["0", "0", "1", "1"]
    assert "hbsim/executors/job_process.py" not in text  # the trial's process has ended without an error
