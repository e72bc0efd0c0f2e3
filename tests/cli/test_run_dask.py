"""``hbsim run --executor dask``: what the library is asked for, what is known again, and a lost scheduler."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import hbsim.live.run
from hbsim.errors import ExecutorError, HbsimError, ParameterError
from hbsim.executors.dask.options import Dask
from tests.cli.run_studies import START, TRAIN, make_whole
from tests.doubles.fake_cluster import standing_in

DASK = (*START.split(), "12", "--executor", "dask")


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

    monkeypatch.setattr(hbsim.live.run, "run", run)
    return called


SSH = "--ssh-user me --ssh-port 2222 --ssh-key key --ssh-known-hosts hosts --ssh-python py --ssh-timeout 90 --tls"
TLS = "--tls-ca ca.pem --tls-cert cert.pem --tls-key key.pem"


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", {}),
        ("--hosts a,b", {"hosts": ("a", "b")}),
        ("--hosts 'a, b' --no-tls", {"hosts": ("a", "b"), "tls": False}),
        (
            "--scheduler-address tcp://a:1 --send folder",
            {"scheduler_address": "tcp://a:1", "send": "folder"},
        ),
        (
            f"--hosts a {SSH}",
            {
                "hosts": ("a",),
                "ssh_user": "me",
                "ssh_port": 2222,
                "ssh_key": "key",
                "ssh_known_hosts": "hosts",
                "ssh_python": "py",
                "ssh_timeout": 90,
                "tls": True,
            },
        ),
        (
            f"--scheduler-address tls://a:1 {TLS} --storage s3://bucket --lease 60",
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
def test_every_option_comes_to_the_library(inside, asked, words, options):
    inside(*DASK, *shlex.split(words))
    assert asked["executor"] == Dask(**options)
    inside(*START.split(), "12")
    assert "executor" not in asked


def test_help_has_a_panel(inside):
    out = inside("run", "--help").out
    assert out.index("Real study (--executor local or dask):") < out.index("Dask (--executor dask):")
    assert out.index("Dask (--executor dask):") < out.index("--hosts HOST,...") < out.index("--lease NUMBER")


# What is known again


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whole(tmp_path_factory.mktemp("whole"))


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


@pytest.mark.parametrize(
    ("commands", "words", "dask"),
    [
        ([f"{FIRST} --executor dask --hosts a,b"], "", Dask(("a", "b"))),
        ([f"{FIRST} --executor dask --hosts a,b --lease 5"], "--lease 9", Dask(("a", "b"), lease=9)),
        ([f"{FIRST} --executor dask --hosts a,b --no-tls"], "--hosts c --tls", Dask(("c",), tls=True)),
        ([f"{FIRST} --executor dask --hosts a,b"], "--executor local", None),
        ([FIRST], "", None),
        ([FIRST], "--executor dask", Dask()),
        ([FIRST, f"{SECOND} --executor dask --send folder"], "", Dask(send="folder")),
        ([f"{FIRST} --executor dask --hosts a", f"{SECOND} --executor local"], "", None),
        (
            [f"{FIRST} --executor dask --hosts a", f"{SECOND} --executor local"],
            "--executor dask",
            Dask(("a",)),
        ),
        (
            [f"{FIRST} --executor dask --hosts a --ssh-user me --storage pull"],
            "--scheduler-address tcp://b:1",
            Dask((), "tcp://b:1", storage="pull"),
        ),
        (
            [
                f"{FIRST} --executor dask --hosts a --no-tls",
                f"{SECOND} --scheduler-address tls://b:1 {TLS}",
            ],
            "--scheduler-address tcp://b:1",
            Dask((), "tcp://b:1"),
        ),
        (
            [f"{FIRST} --executor dask --scheduler-address tcp://b:1", f"{SECOND} --hosts a"],
            "--ssh-port 2222",
            Dask(("a",), ssh_port=2222),
        ),
    ],
)
def test_a_cluster_is_known_again(inside, asked, ran, commands, words, dask):
    ran(*commands)
    inside(*shlex.split(SECOND), *shlex.split(words))
    assert asked["resume"] is True
    assert asked.get("executor") == dask


def test_files_are_where_they_were(inside, asked, ran, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "id").touch()
    ran(f"{FIRST} --executor dask --hosts a --ssh-key id", cwd=tmp_path / "elsewhere")
    inside("run", "--resume")
    assert asked["executor"].ssh_key == str(tmp_path / "elsewhere" / "id")


def test_options_of_another_executor_on_resume(inside, asked, ran):
    ran(FIRST)
    err = inside("run", "--resume", "--hosts", "a").err
    assert err == "hbsim: error: --hosts a: is for --executor dask; --executor local does not take it\n"
    ran(f"{FIRST} --executor dask")
    err = inside("run", "--resume", "--save", "3").err
    assert err == "hbsim: error: --save 3: is for --executor sim; --executor dask does not take it\n"
    assert not asked


# What goes wrong


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ParameterError("hosts", "a", "cannot be reached by SSH"), 2, "--hosts a: cannot be reached by SSH"),
        (
            ParameterError("executor", "dask", 'needs Dask: pip install "hbsim[dask]"'),
            2,
            '--executor dask: needs Dask: pip install "hbsim[dask]"',
        ),
        (ParameterError("storage", "x://y", "cannot be written"), 2, "--storage x://y: cannot be written"),
        (ExecutorError("the Dask scheduler", "is gone"), 1, "the Dask scheduler: is gone"),
    ],
)
def test_a_cluster_that_cannot_be(
    inside, monkeypatch: pytest.MonkeyPatch, error: HbsimError, code: int, line: str
) -> None:
    def run(*given: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(hbsim.live.run, "run", run)
    assert inside(*DASK, "--hosts", "a") == (code, "", f"hbsim: error: {line}\n")


def test_a_lost_scheduler_says_how_to_go_on(inside, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    with standing_in(monkeypatch, tmp_path / "away") as cluster:
        cluster.lose = 5
        code, out, err = inside(*DASK, "--progress", "none")
        assert (code, out) == (1, "")
        assert err == (
            "hbsim: error: the Dask scheduler at tcp://a:1: cannot be reached any more;"
            " to go on: hbsim run --resume --out exp\n"
        )
        cluster.lose = None
        ran = inside("run", "--resume", "--out", "exp", "--executor", "dask", "--json", "--progress", "none")
        assert ran.err == ""
        assert ran.code == 0
        assert json.loads(ran.out)["summary"]["why"] == "done"
    sys.modules.pop("train", None)
