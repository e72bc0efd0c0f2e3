"""Scripts by their command lines: real processes that report, save, are stopped and fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import hbsim
from hbsim.errors import ParameterError
from hbsim.executors.processes import OomWatch
from hbsim.executors.remote.code import localise, make_bundle
from hbsim.executors.script_process import Script
from hbsim.executors.training_function import describe, load_target, make_target

PYTHON = sys.executable
SCRIPT = """
import argparse
import hbsim

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--kind", default="plain")
parser.add_argument("--epochs", type=int, default=2)
args = parser.parse_args()
state = hbsim.checkpoint_dir() / "epoch"
start = int(state.read_text()) if state.exists() else 0
print(f"from {start}, kind {args.kind}")
for epoch in range(start + 1, args.epochs + 1):
    state.write_text(str(epoch))
    hbsim.report(epoch=epoch, accuracy=args.lr * epoch, text="left out")
print("at the end")
"""
LR = hbsim.Real(0.1, 1.0)
FOUR = {"max_t": 9, "num_trials": 4, "straight_on": False}  # all are paused at the first level


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)


def study(command: hbsim.Command, kind: str = "fifo", **options: object) -> hbsim.RunResult:
    """Run a study of a command in the folder ``exp``."""
    limits = {name: options.pop(name) for name in ("max_t", "num_trials", "straight_on") if name in options}
    scheduler = hbsim.make_scheduler(kind, **{"max_t": 3, "num_trials": 1, **limits})
    return hbsim.run(command, scheduler, **{"workers": 1, "progress": "none", **options})


def log(trial: int = 0) -> str:
    return Path(f"exp/trials/{trial:06}/log.txt").read_text()


def shell(script: str, **options: object) -> hbsim.Command:
    """Return a command that runs a shell script with the parameter lr as its first argument."""
    Path("train.sh").write_text(script)
    return hbsim.Command("sh train.sh {lr} {max_t}", {"lr": LR}, **options)


def test_a_script_is_paused_and_goes_on_from_its_checkpoint_folder():
    choices = hbsim.Choice("; touch owned", "$(touch owned)", "{lr}")
    command = hbsim.Command(
        f"{PYTHON} train.py --lr {{lr}} --kind {{kind}} --epochs {{max_t}}", {"lr": LR, "kind": choices}
    )
    result = study(command, "promotion", **FOUR, keep="all")
    best = result.best
    assert best.resource == 3
    assert result.reports.sort("trial", "resource").filter(trial=best.trial)["resource"].to_list() == [
        1,
        2,
        3,
    ]
    kind = best.config["kind"]
    assert (
        log(best.trial) == f"from 0, kind {kind}\nfrom 1, kind {kind}\n"
    )  # left in the report, without a word
    assert set(result.trials["status"]) == {"paused"}
    assert (best.load() / "epoch").read_text() == "3"
    assert result.failures.is_empty()
    assert not Path("owned").exists()  # values are arguments, never code
    assert result.spec.train == command.command
    assert result.spec.digest == describe(command).digest
    again = study(command, "promotion", **FOUR, keep="all", resume=True)
    assert again.summary() == result.summary()
    with pytest.raises(ParameterError, match="began with another search space"):
        study(hbsim.Command("sleep {lr}", {"lr": LR}), "promotion", **FOUR, resume=True)


def test_a_script_runs_alone():
    words = [PYTHON, "train.py", "--lr", "0.25"]
    for start in (0, 2):  # its checkpoint is in the working directory
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        lines = ["epoch=1 accuracy=0.25 text=left out", "epoch=2 accuracy=0.5 text=left out"][start:]
        assert done.stdout.splitlines() == [f"from {start}, kind plain", *lines, "at the end"]


def test_lines_of_the_output_are_reports():
    body = 'for e in 1 2 3; do echo "epoch=$e loss=0.$e acc=$1"; done; echo done >&2'
    pattern = r"epoch=(?P<epoch>\d+) .*acc=(?P<accuracy>\S+)"
    result = study(shell(body, report_pattern=pattern))
    lr = result.best.config["lr"]
    assert result.reports["value"].to_list() == [lr, lr, lr]
    assert result.trials["status"].to_list() == ["completed"]
    assert sorted(log().splitlines()) == sorted(
        [*(f"epoch={e} loss=0.{e} acc={lr}" for e in (1, 2, 3)), "done"]
    )


def test_any_language_reports_by_json_lines():
    body = """for e in 1 2 3; do
        echo "{\\"epoch\\": $e, \\"accuracy\\": $HBSIM_PARAM_LR}" > $HBSIM_REPORTS
    done
    echo "$HBSIM_TRIAL $HBSIM_SEED $HBSIM_MAX_T" """
    Path("train.sh").write_text(body)
    result = study(hbsim.Command("sh train.sh", {"lr": LR}))  # the file reads the variable
    assert result.reports["resource"].to_list() == [1, 2, 3]
    trial, seed, max_t = log().split()
    assert (trial, max_t) == ("0", "3")
    assert int(seed) > 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("printf 'one\\n 5%%\\rtwo words\\n' >&2; exit 3", "exit status 3: two words"),
        ("exit 4", "exit status 4"),
        ("echo no > $HBSIM_REPORTS; sleep 60", "a report must be a JSON object in a line, and is b'no'"),
        ("echo 'epoch=x'; sleep 60", "the report pattern finds epoch='x', which is no number"),
    ],
)
def test_why_a_script_has_failed(body, reason):
    result = study(shell(body, report_pattern="epoch=(?P<epoch>.*)"))
    assert result.failures["reason"].to_list() == [reason]
    assert result.failures["kind"].to_list() == ["error"]
    assert log().splitlines()[-1] == f"hbsim: the script failed: {reason}"


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (
            "echo 'torch.OutOfMemoryError: CUDA out of memory.' >&2; echo 'uploading logs' >&2; exit 1",
            "oom",
            "exit status 1: torch.OutOfMemoryError: CUDA out of memory.",
        ),
        (f"{PYTHON} -c 'bytearray(1 << 60)'", "oom", "exit status 1: MemoryError"),
        ("kill -9 $$", "lost", "killed by SIGKILL"),
        ("exit 143", "lost", "exit status 143"),
    ],
)
def test_lack_of_memory_and_a_signal_from_elsewhere_are_kinds_of_their_own(body, kind, reason):
    result = study(shell(body))
    assert result.failures.select("kind", "reason").rows() == [(kind, reason)]


def test_a_script_that_the_system_kills_for_lack_of_memory(tmp_path):
    events = tmp_path / "memory.events"
    events.write_text("oom_kill 4\n")
    script = Script.__new__(Script)
    script._last, script._oom = b"\n", OomWatch((str(events),))
    assert script._failure(-9).kind == "lost"
    events.write_text("oom_kill 5\n")
    for status, says in ((-9, "killed by SIGKILL"), (137, "exit status 137")):
        failure = script._failure(status)
        assert (failure.kind, str(failure)) == ("oom", f"{says}: the system ran out of memory")
    assert script._failure(1).kind == "error"


def test_a_stopped_script_ends_within_the_grace_with_all_that_it_started():
    body = """trap '' TERM
    sleep 1001 & echo $! $$ > "$HBSIM_CHECKPOINT_DIR/../pids"
    echo "{\\"epoch\\": 3, \\"accuracy\\": 1}" > $HBSIM_REPORTS
    while :; do sleep 0.05; done"""
    before = time.monotonic()
    result = study(shell(body), grace=1.0)
    assert result.trials["status"].to_list() == ["completed"]
    assert result.failures.is_empty()
    assert time.monotonic() - before < 30
    pids = [int(word) for word in Path("exp/trials/000000/files/pids").read_text().split()]
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_sigterm_lets_a_script_clean_up():
    body = """trap 'echo cleaned up; exit 0' TERM
    echo "{\\"epoch\\": 3, \\"accuracy\\": 1}" > $HBSIM_REPORTS
    while :; do sleep 0.02; done"""
    study(shell(body))
    assert log().startswith("cleaned up\n")


def test_a_shell_only_where_it_is_asked_for():
    space = {"kind": hbsim.Choice("'; touch owned; '", "$(touch owned)"), "times": 2}
    text = "echo {kind} \"{kind}\" '{kind}' {times} {{}} | cat > out.txt; exit 5"
    result = study(hbsim.Command(text, space, shell=True))
    kind = result.configurations["kind"][0]
    assert Path("out.txt").read_text().startswith(f"{kind} ")
    assert Path("out.txt").read_text().endswith(" 2 {}\n")
    assert not Path("owned").exists()
    assert result.failures["reason"].to_list() == ["exit status 5"]


@pytest.mark.parametrize(
    ("body", "pattern", "reason"),
    [
        ("exit 0", None, "the script ended without a report (hbsim.report)"),
        (
            "echo Epoch 1; printf '\nEpoch 2\n\n'",
            r"epoch (?P<epoch>\d+)",
            "no line that the script printed matches the report pattern; the last one is: Epoch 2",
        ),
        (
            "exit 0",
            r"epoch (?P<epoch>\d+)",
            "no line that the script printed matches the report pattern: it printed nothing",
        ),
    ],
)
def test_a_script_without_a_report(body, pattern, reason):
    result = study(shell(body, report_pattern=pattern))
    assert result.failures["reason"].to_list() == [reason]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "python train.py {lr} {wide}",
            r"\{wide\} is no parameter \('lr', 'width', 'max_t', 'trial', 'seed'",
        ),
        ("python 'train.py", "cannot be split into words: No closing quotation"),
        ("", "must not be empty"),
        (
            "python train.py {lr}",
            r"must use 'width': no word has \{width\}, and no file of it reads HBSIM_PARAM_WIDTH",
        ),
        (
            "python train.py {lr} --width={width",
            r"must use 'width': a brace in --width=\{width is not closed",
        ),
        ("no-such-program {lr} {width}", "there is no executable no-such-program"),
        ("./missing {lr} {width}", "there is no executable ./missing"),
        ("sh other.sh {lr} {width}", "there is no file other.sh in"),
        ("sh train.py {lr} {width} {max_t}", "'max_t' in it has no value: give max_t"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_before_the_study(text, rule):
    space = {"lr": LR, "width": hbsim.Int(1, 4)}
    with pytest.raises(ParameterError, match=rule) as caught:
        study(hbsim.Command(text, space), until_return=True, max_t=1)
    assert caught.value.field == "command"
    assert not Path("exp").exists()


def test_other_errors_of_a_command(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        with pytest.raises(ParameterError) as caught:
            study(hbsim.Command("python train.py --lr {lr}", {"lr": LR}))
    assert caught.value.rule == f"there is no executable python on the PATH; hbsim itself runs with {PYTHON}"
    with pytest.raises(ParameterError, match="two parameters would be HBSIM_PARAM_A_B"):
        hbsim.Command("x", {"a.b": LR, "a_b": LR})
    for pattern, rule in (("(", "is no regular expression"), ("epoch=.*", "must have a named group")):
        with pytest.raises(ParameterError, match=rule):
            hbsim.Command("x", {}, report_pattern=pattern)
    with pytest.raises(ParameterError, match="must be a folder that exists"):
        study(hbsim.Command("sleep {lr}", {"lr": LR}, cwd="missing"))


def test_a_command_travels_to_hosts_with_its_files(tmp_path):
    space = {"optimizer.lr": LR, "batch": 8}
    command = hbsim.Command("sh sub/train.sh {optimizer.lr} {batch}", space, cwd=tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/train.sh").write_text("exit 0")
    bundle = make_bundle(make_target(command.for_study(9.0, 2.0, is_local=True)))
    assert list(bundle["files"]) == ["sub/train.sh"]
    again = load_target(localise(bundle, tmp_path / "work"))
    assert again.to_json() == {**command.to_json(), "max_t": 9.0, "grace": 2.0}
    os.remove(tmp_path / "sub/train.sh")
    moved = load_target(localise(bundle, tmp_path / "work"))
    assert Path(moved.cwd).is_relative_to(tmp_path / "work")
    assert describe(moved).digest == describe(again).digest or Path(moved.cwd, "sub/train.sh").is_file()


STUDY = """
import signal
import sys
import hbsim
from hbsim.study.interrupts import Interrupted

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if the tests were started under nohup
text = f"{sys.executable} train.py --lr {{lr}} --epochs {{max_t}}"
command = hbsim.Command(text, {"lr": hbsim.Real(0.1, 1.0)})
scheduler = hbsim.make_scheduler("fifo", max_t=300, num_trials=1)
try:
    keep = "none" if "none" in sys.argv else "best"
    hbsim.run(command, scheduler, workers=1, resume="resume" in sys.argv, progress="none", keep=keep)
except Interrupted:
    print("interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_study_goes_on_from_the_checkpoint_folder(number, wait_for):
    """SIGTERM comes to all processes, the script first, as where a machine is shut down."""
    slow = SCRIPT.replace("import hbsim", "import hbsim\nimport os, time").replace(
        "start =", "print(os.getpid())\nstart ="
    )
    slow = slow.replace(
        "    hbsim.report", "    time.sleep(0.03 * ('FAST' not in os.environ))\n    hbsim.report"
    )
    Path("train.py").write_text(slow)
    Path("study.py").write_text(STUDY)
    keep = "best" if number == signal.SIGKILL else "none"  # no states of best reports, only that of the end
    first = subprocess.Popen([PYTHON, "study.py", keep], stdout=subprocess.PIPE, text=True)
    saved = Path("exp/trials/000000/files/checkpoint/epoch")
    wait_for(lambda: saved.exists() and saved.read_text() not in ("", "1", "2", "3"))
    family = [*psutil.Process(first.pid).children(recursive=True)[::-1], first]
    for process in family if number == signal.SIGTERM else [first]:
        process.send_signal(number)
    out, _ = first.communicate()
    assert out == ("" if number == signal.SIGKILL else "interrupted\n")
    pid = int(log().splitlines()[0])
    wait_for(lambda: not psutil.pid_exists(pid))
    reached = int(hbsim.load("exp").reports["resource"].max())
    words = [PYTHON, "study.py", "resume"]
    fast = {**os.environ, "FAST": "1"}
    done = subprocess.run(words, env=fast, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    starts = [line for line in log().splitlines() if line.startswith("from")]
    assert starts[0] == "from 0, kind plain"
    assert starts[1] != starts[0]
    assert number == signal.SIGKILL or starts[1] == f"from {reached}, kind plain"  # it was saved there
    result = hbsim.load("exp")
    assert result.trials["status"].to_list() == ["completed"]
    assert result.failures.is_empty()


def test_numbers_of_any_library_are_reported(capsys):
    hbsim.report(
        epoch=np.int64(3), accuracy=np.float32(0.5), done=np.bool_(True), more=np.zeros(2), none=None
    )
    assert capsys.readouterr().out == "epoch=3 accuracy=0.5 done=True more=[0. 0.] none=None\n"
