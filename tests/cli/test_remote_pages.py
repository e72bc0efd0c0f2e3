"""The commands on the pages about other machines: their options exist, and mean what the pages say."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hbsim.study.run
from hbsim.cli.main import main
from hbsim.core.scheduler import Scheduler
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.executors.training_function import load_target, make_target

TRAIN_FILE = "examples/dask/train.py"
ROOT = Path(__file__).parents[2]
PAGES = ("docs/how-to/remote-hosts.md", "examples/dask/README.md")


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text("utf-8"), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line)
                if words and words[0] == program:
                    yield page, words[1:]


HBSIM = [pytest.param(words, id=f"{page} {' '.join(words[:2])}") for page, words in commands("hbsim")]
DASK = [pytest.param(words, id=f"{page} {words[0]}") for page, words in commands("dask")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go into a folder that has the files which the pages name; it is the home folder, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    certificates = [f"certs/{name}.pem" for name in ("cert", "key")]
    for name in (".ssh/lab", *certificates):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.mark.parametrize("words", HBSIM)
def test_a_command_of_hbsim(
    words: list[str], place: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def run(train: str, scheduler: Scheduler, *, executor: object = "local", **options: object) -> None:
        asked.append(executor)
        if "--resume" not in words:  # the rest is as the file has it that the page names
            assert Path(train.partition(":")[0]) == Path(TRAIN_FILE)
            train_fn = load_target(make_target(train))
            assert scheduler.options.max_t == inspect.unwrap(train_fn).__globals__["EPOCHS"]
            assert (options["metric"], scheduler.mode) == ("mse", "min")
            assert options["metric"] in inspect.getsource(train_fn)
        raise KeyboardInterrupt

    monkeypatch.setattr(hbsim.study.run, "run", run)
    if "--resume" in words:
        shutil.copytree(whole, place / "exp")
    monkeypatch.setattr(sys, "argv", ["hbsim", *words])
    with pytest.raises(SystemExit):
        main()
    (executor,) = asked
    if (hosts := after("--hosts", words)) is not None:
        assert executor == Hosts(hosts.split(","))
    elif (address := after("--scheduler-address", words)) is not None:
        assert isinstance(executor, Dask)
        assert executor.scheduler_address == address
    else:
        assert executor == "local"


def after(option: str, words: list[str]) -> str | None:
    return words[words.index(option) + 1] if option in words else None


@pytest.mark.parametrize("words", DASK)
def test_a_command_of_dask(words: list[str], place: Path) -> None:
    pytest.importorskip("distributed")
    from distributed.cli import dask_scheduler, dask_worker

    programs = {"scheduler": dask_scheduler, "worker": dask_worker}
    context = programs[words[0]].main.make_context(words[0], words[1:])
    assert Path(context.params["tls_key"]) == place / "certs" / "key.pem"


def test_there_are_some() -> None:
    assert len(HBSIM) >= 7
    assert {words.values[0][0] for words in DASK} == {"scheduler", "worker"}
