"""``hbsim run`` on other machines: what the library is asked for, what is known again, and lost hosts."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import hbsim.study.run
from hbsim.errors import ExecutorError, HbsimError, ParameterError, needs
from hbsim.executors.remote.options import Dask, Hosts
from tests.cli.run_studies import START, TRAIN
from tests.doubles.fake_remote import standing_in

STUDY = (*START.split(), "12")
DASK = (*STUDY, "--executor", "dask")


@pytest.fixture(autouse=True)
def train(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    for name in ("key", "hosts", "ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what `hbsim.run` is called with, once it is; nothing is run."""
    called: dict[str, Any] = {}

    def run(train: str, scheduler: object, **options: object) -> None:
        called.clear()
        called.update(train=train, scheduler=scheduler, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(hbsim.study.run, "run", run)
    return called


SSH = "--ssh-user me --ssh-port 2222 --ssh-key key --ssh-known-hosts hosts --ssh-python py --ssh-timeout 90"
TLS = "--tls-ca ca.pem --tls-cert cert.pem --tls-key key.pem"


@pytest.mark.parametrize(
    ("words", "kind", "options"),
    [
        ("--executor dask", Dask, {}),
        ("--hosts a,b", Hosts, {"hosts": ["a", "b"]}),
        ("--executor hosts --hosts 'a, me@b:22'", Hosts, {"hosts": ["a", "me@b:22"]}),
        ("--executor dask --hosts a,b,a --storage pull", Hosts, {"hosts": ["a", "b"], "storage": "pull"}),
        (
            "--scheduler-address tcp://a:1 --send folder",
            Dask,
            {"scheduler_address": "tcp://a:1", "send": "folder"},
        ),
        (
            f"--hosts a {SSH}",
            Hosts,
            {
                "hosts": ["a"],
                "ssh_user": "me",
                "ssh_port": 2222,
                "ssh_key": "key",
                "ssh_known_hosts": "hosts",
                "ssh_python": "py",
                "ssh_timeout": 90,
            },
        ),
        (
            f"--executor dask --scheduler-address tls://a:1 {TLS} --storage s3://bucket --lease 60",
            Dask,
            {
                "scheduler_address": "tls://a:1",
                "tls_ca": "ca.pem",
                "tls_cert": "cert.pem",
                "tls_key": "key.pem",
                "storage": "s3://bucket",
                "lease": 60,
            },
        ),
    ],
)
def test_every_option_comes_to_the_library(call, asked, words, kind, options):
    call(*STUDY, *shlex.split(words))
    assert asked["executor"] == kind(**options)
    assert asked["scheduler"].options.loss_retries == 3


@pytest.mark.parametrize(
    ("words", "losses"),
    [("", None), ("--loss-retries 1", 1), ("--hosts a --loss-retries 0", 0), ("--hosts a --retries 5", 3)],
)
def test_losses_have_retries_of_their_own_on_hosts(call, asked, words, losses):
    call(*STUDY, *shlex.split(words))
    assert asked["scheduler"].options.loss_retries == losses


def test_help_has_a_panel(call):
    out = call("run", "--help").out
    assert out.index("Retries and time limits:") < out.index("Hosts by SSH:") < out.index("--hosts HOST,...")
    assert out.index("Hosts and Dask clusters:") < out.index("--lease NUMBER")
    for command in ("sweep", "compare"):
        assert "Hosts by SSH:" in call(command, "--help").out


# What is known again


@pytest.fixture
def ran(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes a study look as if it had been run by these commands; in ``exp``."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole, tmp_path / "exp")

    def make(*commands: str, cwd: Path = tmp_path) -> None:
        runs = [{"argv": ["/bin/hbsim", *shlex.split(text)], "cwd": str(cwd)} for text in commands]
        (tmp_path / "exp" / "environment.json").write_text(json.dumps({"schema": 1, "runs": runs}))

    return make


FIRST = "run train.py:train_fn --scheduler promotion --max-t 9 --trials 12 --seed 4"
SECOND = "run --resume"


OLD = f"{FIRST} --executor dask --hosts a,b"  # as it was before --hosts was enough


@pytest.mark.parametrize(
    ("commands", "words", "executor"),
    [
        ([f"{FIRST} --hosts a,b"], "", Hosts(["a", "b"])),
        ([OLD], "", Hosts(["a", "b"])),
        ([f"{OLD} --no-tls --lease 5"], "", Hosts(["a", "b"], lease=5)),
        ([f"{FIRST} --hosts a,b --lease 5"], "--lease 9", Hosts(["a", "b"], lease=9)),
        ([f"{FIRST} --hosts a,b"], "--hosts c", Hosts(["c"])),
        ([f"{FIRST} --hosts a,b"], "--executor local", None),
        ([FIRST], "", None),
        ([FIRST], "--executor dask", Dask()),
        ([FIRST], "--hosts a", Hosts(["a"])),
        ([FIRST, f"{SECOND} --executor dask --send folder"], "", Dask(send="folder")),
        ([f"{FIRST} --hosts a", f"{SECOND} --executor local"], "", None),
        ([f"{FIRST} --hosts a", f"{SECOND} --executor local"], "--executor hosts", Hosts(["a"])),
        ([OLD, f"{SECOND} --executor local"], "--executor dask", Hosts(["a", "b"])),
        (
            [f"{FIRST} --hosts a --ssh-user me --storage pull"],
            "--scheduler-address tcp://b:1",
            Dask("tcp://b:1", storage="pull"),
        ),
        (
            [f"{FIRST} --hosts a", f"{SECOND} --scheduler-address tls://b:1 {TLS}"],
            "--scheduler-address tcp://b:1",
            Dask("tcp://b:1"),
        ),
        (
            [f"{FIRST} --executor dask --scheduler-address tcp://b:1", f"{SECOND} --hosts a"],
            "--ssh-port 2222",
            Hosts(["a"], ssh_port=2222),
        ),
    ],
)
def test_machines_are_known_again(call, asked, ran, commands, words, executor):
    ran(*commands)
    call(*shlex.split(SECOND), *shlex.split(words))
    assert asked["resume"] is True
    assert asked.get("executor") == executor
    assert asked["scheduler"].options.loss_retries is None  # as the study began


def test_files_are_where_they_were(call, asked, ran, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "id").touch()
    ran(f"{FIRST} --hosts a --ssh-key id", cwd=tmp_path / "elsewhere")
    call("run", "--resume")
    assert asked["executor"].ssh_key == str(tmp_path / "elsewhere" / "id")


def test_options_of_another_executor_on_resume(call, asked, ran):
    ran(FIRST)
    err = call("run", "--resume", "--lease", "5").err
    assert err.startswith("hbsim: note: --executor local ignores --lease\n")
    assert asked.pop("resume")
    assert "executor" not in asked
    assert call("run", "--resume", "--executor", "hosts").err == (
        "hbsim: error: --executor hosts: needs --hosts\n"
    )
    ran(f"{FIRST} --hosts a")
    err = call("run", "--resume", "--save", "3").err
    assert err.startswith("hbsim: note: --executor hosts ignores --save\n")
    assert asked["executor"].hosts == ("a",)


# What goes wrong


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ParameterError("hosts", "a", "cannot be reached by SSH"), 2, "--hosts a: cannot be reached by SSH"),
        (
            ParameterError("executor", "dask", needs("Dask", "dask")),
            2,
            '--executor dask: needs Dask: pip install -e ".[dask]" in the clone of hbsim',
        ),
        (ParameterError("storage", "x://y", "cannot be written"), 2, "--storage x://y: cannot be written"),
        (ExecutorError("the Dask scheduler", "is gone"), 1, "the Dask scheduler: is gone"),
    ],
)
def test_machines_that_cannot_be(
    call, monkeypatch: pytest.MonkeyPatch, error: HbsimError, code: int, line: str
) -> None:
    def run(*given: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(hbsim.study.run, "run", run)
    assert call(*STUDY, "--hosts", "a") == (code, "", f"hbsim: error: {line}\n")


def test_lost_hosts_say_how_to_go_on(call, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    with standing_in(monkeypatch, tmp_path / "away") as machines:
        machines.lose = 5
        code, out, err = call(*STUDY, "--hosts", "a,b", "--progress", "none")
        assert (code, out) == (1, "")
        assert err == (
            "hbsim: error: the way to a, b: cannot be reached any more;"
            " to go on: hbsim run --resume --folder exp\n"
        )
        machines.lose = None
        ran = call("run", "--resume", "--out", "exp", "--json", "--progress", "none")
        assert ran.err == ""
        assert ran.code == 0
        assert json.loads(ran.out)["summary"]["why"] == "done"
        assert [made.options for made in machines.made] == [Hosts(["a", "b"])] * 2
    sys.modules.pop("train", None)


def test_trials_that_were_lost_for_good_are_said_once(call, tmp_path, monkeypatch):
    """In the words of the command's options; a trial that hangs is lost, too."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    hang = ("--hang-timeout", "1", "--grace", "0.1", "--set", "hang=1", "--loss-retries", "0")
    with standing_in(monkeypatch, tmp_path / "away"):
        ran = call(*START.split(), "3", "--hosts", "a", "--workers", "2", "--progress", "none", *hang)
    sys.modules.pop("train", None)
    assert (ran.code, "lost: " in ran.out) == (0, True)
    text = "1 trial was lost and has failed for good, by --loss-retries 0: with more --loss-retries such"
    assert ran.err.startswith(f"hbsim: warning: {text}")
    assert ran.err.count("\n") == 1


WITHOUT = """
import sys
class Gone:
    def find_spec(name, *rest):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Gone)
"""


@pytest.mark.parametrize(
    ("names", "words", "field", "cure"),
    [
        (
            ("dask", "distributed"),
            "--executor dask",
            "--executor dask: needs Dask",
            ': pip install -e ".[dask]" ',
        ),
        (("asyncssh",), "--hosts a", "--hosts a: need", "asyncssh: pip install asyncssh"),
    ],
)
def test_packages_that_are_not_installed_are_named_in_a_line(hbsim, tmp_path, names, words, field, cure):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT.format(names=names))
    path = f"{tmp_path / 'site'}:{Path(__file__).parents[2]}"
    ran = hbsim(*STUDY, *words.split(), PYTHONPATH=path)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"hbsim: error: {field}")
    assert cure in ran.err
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--hosts ''", "--hosts '': must be names or addresses"),
        ("--hosts a,,b", "--hosts a,,b: must be names or addresses"),
        (
            "--hosts a --scheduler-address tcp://b:1",
            "--hosts a: is for hosts that are reached by SSH: it goes",
        ),
        ("--hosts nowhere.invalid,nowhere.invalid", "--hosts nowhere.invalid: has no address"),
    ],
)
def test_machines_that_do_not_exist_are_one_line_and_leave_nothing(call, tmp_path, monkeypatch, words, line):
    monkeypatch.setattr(sys, "path", list(sys.path))
    ran = call(*STUDY, *shlex.split(words), "--progress", "none")
    sys.modules.pop("train", None)
    assert (ran.code, ran.out) == (2, "")
    (error,) = ran.err.splitlines()
    assert error.startswith(f"hbsim: error: {line}")
    assert not (tmp_path / "exp").exists()
