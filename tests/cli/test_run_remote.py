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
from hbsim.executors.dask import link
from hbsim.executors.dask.certificates import make_certificates
from hbsim.executors.dask.options import Dask
from tests.cli.run_studies import START, TRAIN, make_whole
from tests.doubles.dask_processes import dask_processes
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


SSH = "--ssh-user me --ssh-port 2222 --ssh-key key --ssh-known-hosts hosts --ssh-python py --ssh-timeout 90"
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
            f"--hosts a {SSH} --tls",
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


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("run", "a worker on each"),
        ("sweep", "a worker a core on each"),
        ("compare", "a worker a core on each"),
    ],
)
def test_help_says_how_many_workers_hosts_have(inside, command, what):
    help_ = " ".join(inside(command, "--help").out.split())
    _, _, after = help_.partition("--hosts HOST,... ")
    assert after.startswith(f"Start a cluster on these hosts by SSH: a scheduler on the first, {what}. --sch")


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


@pytest.mark.parametrize("executor", ["dask", "local"])
@pytest.mark.parametrize("retries", [0, 1])
def test_that_lost_trials_had_no_retries_is_said_once(inside, tmp_path, monkeypatch, executor, retries):
    """Where hosts may be lost, that is; a trial that hangs is lost, too."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    hang = ("--hang-timeout", "1", "--grace", "0.1", "--set", "hang=1", "--retries", str(retries))
    study = (*START.split(), "3", "--executor", executor, "--workers", "2", "--progress", "none", *hang)
    with standing_in(monkeypatch, tmp_path / "away"):
        ran = inside(*study)
    sys.modules.pop("train", None)
    assert (ran.code, "lost: " in ran.out) == (0, True)
    hint = "hbsim: warning: 1 trial was lost and has failed for good: in a study with --retries "
    assert ran.err.startswith(hint) if executor == "dask" and not retries else ran.err == ""
    assert ran.err.count("\n") <= 1


WITHOUT = """
import sys
class Gone:
    def find_spec(name, *rest):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Gone)
"""


@pytest.mark.parametrize(
    ("names", "words", "line"),
    [
        (("dask", "distributed"), "", '--executor dask: needs Dask: pip install "hbsim[dask]"'),
        (("dask", "distributed"), "--hosts a", '--executor dask: needs Dask: pip install "hbsim[dask]"'),
        (("asyncssh",), "--hosts a", '--hosts a: needs the package asyncssh: pip install "hbsim[dask]"'),
    ],
)
def test_what_is_not_installed_is_said_in_a_line(hbsim, tmp_path, names, words, line):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT.format(names=names))
    path = f"{tmp_path / 'site'}:{Path(__file__).parents[2]}"
    ran = hbsim(*DASK, *words.split(), PYTHONPATH=path)
    assert ran == (2, "", f"hbsim: error: {line}\n")
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--hosts ''", "--hosts: must be a list of names or addresses"),
        ("--hosts a,,b", "--hosts a,,b: must be a list of names or addresses"),
        ("--hosts a --scheduler-address tcp://b:1", "--hosts a: goes without --scheduler-address"),
        ("--scheduler-address tls://127.0.0.1:1", "--tls-ca: is needed for a tls:// address"),
        (f"--scheduler-address tls://127.0.0.1:1 {TLS}", "--tls-ca ca.pem: must be a file with certificates"),
        ("--hosts nowhere.invalid,nowhere.invalid", "--hosts nowhere.invalid: has no address"),
        ("--scheduler-address tcp://127.0.0.1:1", "--scheduler-address tcp://127.0.0.1:1: no Dask scheduler"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line_and_leaves_nothing(
    inside, tmp_path, monkeypatch, words, said
):
    pytest.importorskip("distributed")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(link.Link.open.__func__, "__defaults__", (None, 0.5))  # seconds
    ran = inside(*DASK, *shlex.split(words), "--progress", "none")
    sys.modules.pop("train", None)
    assert (ran.code, ran.out) == (2, "")
    (line,) = [line for line in ran.err.splitlines() if "starting" not in line]
    assert line.startswith(f"hbsim: error: {said}")
    assert not (tmp_path / "exp").exists()


def test_other_certificates_are_one_line_and_leave_nothing(inside, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    for name in ("certs", "others"):
        make_certificates(tmp_path / name, ["localhost"])
    names = ("tls-ca-file", "ca"), ("tls-cert", "cert"), ("tls-key", "key")
    tls = [word for option, name in names for word in (f"--{option}", str(tmp_path / f"certs/{name}.pem"))]
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "cluster").mkdir()
    with dask_processes(tmp_path / "cluster", 0, scheduler_options=["--protocol", "tls", *tls]) as cluster:
        own = TLS.replace(" c", " others/c").replace(" key", " others/key")
        ran = inside(*DASK, "--scheduler-address", cluster.address, *own.split(), "--progress", "none")
    sys.modules.pop("train", None)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    where = f"--scheduler-address {cluster.address}"
    assert ran.err.startswith(f"hbsim: error: {where}: answers, but not with TLS that both sides accept")
    assert not (tmp_path / "exp").exists()
