"""The how-to pages, and the one about wrappers, do what they say: their commands and Python run in order."""

from __future__ import annotations

import ast
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, call
from tests.doubles.sshd import sshd
from tests.profile import THOROUGH, thorough

__all__ = ["call"]
ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "how-to"
REFERENCE = ROOT / "docs" / "reference"
BLOCK = re.compile(r"```(python|sh)\n(.*?)```(?:\s*```text\n(.*?)```)?", flags=re.DOTALL)

# The pages that others of the tests run, or that nothing here can.
ELSEWHERE = {
    "install.md": "a package index; CI installs the package first",
    "plan-a-study.md": "tests/planning/test_plan_page.py",
    "several-gpus.md": "tests/study/test_ranks.py",
    "yahpo.md": "files that hbsim does not have; tests/surrogates/test_yahpo.py",
}
# Commands and modules that are not run, by how they begin, and why.
LEFT_OUT = {
    "pip install": "a package index",
    "openssl": "tests/test_examples_dask.py makes the certificate",
    "mkdir": "openssl",
    "dask": "a cluster; tests/cli/test_remote_pages.py reads the command",
    "sbatch": "SLURM",
    "kubectl": "Kubernetes",
    "python examples/dask/slurm.py": "SLURM; tests/test_examples_dask.py runs it",
    "#!/bin/bash": "SLURM; test_the_job_of_slurm_queues_itself_again runs the lines",
    "hbsim surrogates import ~": "runs of another tool; tests/surrogates/test_import_tools.py has them",
}
NEEDED = {"import wandb": "an account of W&B", "import mlflow": "runs of MLflow", "mysql://": "a server"}
HEAVY = {"fit.md", "loggers-and-callbacks.md"}
LIBRARIES = {
    "fit.md": "sklearn",
    "import.md": "optuna",
    "integrations.md": "torch",
    "loggers-and-callbacks.md": "wandb",
    "tune-a-script.md": "hydra",
}
LIMIT = 60  # seconds: what is waited for comes much sooner

# What a page calls `train.py`: quick, with the metrics that the pages name, and with checkpoints.
TRAIN = """
import hbsim


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True), decay=hbsim.Real(0.0, 0.1))
def train_fn(args, reporter):
    state = reporter.load() or {"epoch": 0, "weight": 0.0}
    reporter.on_pause(lambda: state)
    while state["epoch"] < 81:
        state["weight"] += args.lr * (1 - state["weight"]) - args.decay * state["weight"]
        state["epoch"] += 1
        weight = state["weight"]
        reporter(epoch=state["epoch"], accuracy=weight, val_error=1 - weight, loss=1 - weight)
"""
# How far counts of a command go in the quick profile; a larger count stays larger, so that studies grow.
FEWER = {"--trials": 20, "--num-trials": 20, "--seeds": 3}


def shorter(words: list[str]) -> list[str]:
    """Return a command with fewer trials and studies."""
    if THOROUGH:
        return words
    short = list(words)
    for at, word in enumerate(words[:-1]):
        if word in FEWER and words[at + 1].isdecimal():
            count, least = int(words[at + 1]), FEWER[word]
            short[at + 1] = str(min(count, least + count // 20))
    if words[0] == "compare" and "--seeds" not in words:
        short += ["--seeds", str(FEWER["--seeds"])]
    return short


def commands(text: str) -> list[str]:
    """Return the commands of a block, each on one line; a script is one."""
    if text.startswith("#!"):
        return [text]
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def run_commands(text: str, call: Callable[..., Ran], folder: Path) -> None:
    """Run the commands of a block that are not left out."""
    for command in commands(text):
        if command.startswith((*LEFT_OUT, "#")) or "--scheduler-address" in command:
            continue
        program, *words = shlex.split(command, comments=True)
        if program == "python":
            subprocess.run([sys.executable, *words], check=True, cwd=folder)
            continue
        assert program == "hbsim", command
        words, file = (words[:-2], words[-1]) if ">" in words else (words, None)
        ran = call(*shorter(words))
        assert ran.code == 0, f"{command}\n{ran.out}{ran.err}"
        if file is not None:
            (folder / file).write_text(ran.out)


@pytest.fixture
def reachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Make gpu1, gpu2 and gpu3 names of hosts, as a user's own ~/.ssh does; when it is called."""
    with ExitStack() as stack:

        def start() -> None:
            home = tmp_path / "home" / ".ssh"
            home.mkdir(parents=True)
            config = []
            for name in ("gpu1", "gpu2", "gpu3"):
                host = stack.enter_context(sshd(tmp_path / name))
                config += [f"Host {name}", f"  HostName {host.address}", f"  Port {host.port}"]
                config += [f"  User {host.user}", f"  IdentityFile {host.key}"]
                config += [f"  UserKnownHostsFile {host.known_hosts}"]
            (home / "config").write_text("\n".join(config) + "\n")
            monkeypatch.setenv("HOME", str(home.parent))

        yield start


PAGES = [
    pytest.param(page, id=page.name, marks=[thorough] if page.name in HEAVY else [])
    for page in sorted(FOLDER.glob("*.md"))
    if page.name not in ELSEWHERE
]
PAGES.append(pytest.param(REFERENCE / "wrappers.md", id="wrappers.md"))


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs(
    page: Path,
    call: Callable[..., Ran],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reachable: Callable[[], None],
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    text = page.read_text("utf-8")
    if page.name in LIBRARIES:
        pytest.importorskip(LIBRARIES[page.name])
    if "--hosts gpu" in text:
        reachable()
    names: dict[str, object] = {"__name__": "page"}
    for block in BLOCK.finditer(text):
        kind, code, printed = block.groups()
        line = text[: block.start(2)].count("\n")
        if kind == "sh":
            run_commands(code, call, tmp_path)
        elif first := re.match(r"# (\w+\.(?:py|toml))\n", code):  # a file, by its first line
            (tmp_path / first[1]).write_text(code)
        elif any(word in code for word in NEEDED):
            ast.parse(code)
        else:
            exec(compile("\n" * line + code, str(page), "exec"), names)  # errors name the page's line
            out = capsys.readouterr().out
            if printed is not None:
                assert out == printed


def test_what_is_left_out_is_on_a_page() -> None:
    texts = [page.read_text("utf-8") for page in FOLDER.glob("*.md")]
    for start in LEFT_OUT:
        found = [
            text for text in texts for block in BLOCK.finditer(text) if block[1] == "sh" and start in block[2]
        ]
        assert found, start
    assert {page.name for page in FOLDER.glob("*.md")} >= ELSEWHERE.keys() | HEAVY


def test_the_job_of_slurm_queues_itself_again(tmp_path: Path) -> None:
    page = (FOLDER / "slurm-and-kubernetes.md").read_text("utf-8")
    (job,) = (block[2] for block in BLOCK.finditer(page) if block[2].startswith("#!"))
    (tmp_path / "train.py").write_text(
        TRAIN.replace("import hbsim", "import time\n\nimport hbsim", 1).replace(
            '        state["epoch"] += 1', '        time.sleep(0.02)\n        state["epoch"] += 1'
        )
    )
    (tmp_path / "study.sh").write_text(job)
    programs = {
        "hbsim": f'exec {sys.executable} -m hbsim "$@" --workers 1',
        "scontrol": 'echo "$@" >> requeued',
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SLURM_JOB_ID": "17"}
    journal = tmp_path / "exp" / "journal.jsonl"
    for _ in range(2):  # the second goes on
        known = journal.stat().st_size if journal.exists() else 0
        with subprocess.Popen(
            ["bash", "study.sh"], cwd=tmp_path, env=environment, start_new_session=True
        ) as shell:
            try:
                end = time.monotonic() + LIMIT
                while not journal.exists() or journal.read_bytes()[known:].count(b'"e":"reach"') < 3:
                    assert shell.poll() is None
                    assert time.monotonic() < end
                    time.sleep(0.05)
                shell.send_signal(signal.SIGUSR1)
                shell.wait(LIMIT)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(shell.pid, signal.SIGKILL)
    assert (tmp_path / "requeued").read_text() == "requeue 17\n" * 2
