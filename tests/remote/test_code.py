"""How code gets to hosts that do not have it: what is sent, where it goes, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hbsim
from hbsim.errors import OutputError, ParameterError
from hbsim.executors.remote import code
from hbsim.executors.remote.code import localise, make_bundle, needs_trust, with_neighbour
from hbsim.executors.training_function import load_target, make_target

ROOT = Path(__file__).parents[2]
FUNCTION = """
import hbsim

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    return VALUE
"""
# Places the code of the bundle on stdin in the folder of the first argument; prints what the function gives.
HOST = """
import json, sys
from pathlib import Path
from hbsim.executors.remote.code import localise
from hbsim.executors.training_function import load_target, source_of
target = localise(json.load(sys.stdin), Path(sys.argv[1]))
function = load_target(target)
print(json.dumps([function(None, None), str(source_of(target))]))
"""


@pytest.fixture(autouse=True)
def _same_process():
    before = list(sys.path), list(sys.argv), set(sys.modules)
    yield
    sys.path[:], sys.argv[:] = before[:2]
    for name in set(sys.modules) - before[2]:
        if not name.startswith(("hbsim", "cloudpickle")):
            del sys.modules[name]


@pytest.fixture
def project(tmp_path):
    """Build a folder with a training function in ``train.py`` that imports ``helper``."""
    text = FUNCTION.replace("VALUE", "helper.VALUE").replace("import", "import helper, ", 1)
    write(tmp_path / "project/train.py", text)
    write(tmp_path / "project/helper.py", "VALUE = 'helped'\n")
    return tmp_path / "project"


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def bundle_of(folder: Path, send: str = "file") -> dict:
    """Make a bundle as it arrives."""
    return json.loads(json.dumps(make_bundle(make_target(f"{folder / 'train.py'}:train_fn"), send)))


def module_bundle(dotted: str, send: str = "file") -> dict:
    target = {"module": dotted, "name": "train_fn", "path": list(sys.path), "argv": [], "main": False}
    return json.loads(json.dumps(make_bundle(target, send)))


def on_host(bundle: dict, work: Path, processes: int = 1) -> tuple[object, Path]:
    """Load a bundle in new processes, at the same time, that know nothing of the project."""
    environment, pipe = {**os.environ, "PYTHONPATH": str(ROOT)}, subprocess.PIPE
    command = [sys.executable, "-P", "-c", HOST, str(work)]
    given = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "text": True, "env": environment}
    started = [subprocess.Popen(command, cwd=work.parent, **given) for _ in range(processes)]
    for process in started:  # they wait for their bundle
        process.stdin.write(json.dumps(bundle))
        process.stdin.flush()
    for process in started:
        process.stdin.close()
        process.stdin = None
    ended = [(*process.communicate(), process.returncode) for process in started]
    assert [code for _, _, code in ended] == [0] * processes, ended
    (found,) = {out for out, _, _ in ended}
    value, source = json.loads(found)
    return value, Path(source)


def names_of(bundle: dict) -> list[str]:
    return [*bundle["files"]]


def away(folder: Path) -> None:
    """Take the project away, as on another host."""
    folder.rename(folder.with_name("away"))


def test_a_file_that_is_the_same_is_used_in_place(project, tmp_path):
    assert on_host(bundle_of(project), tmp_path / "work") == ("helped", project / "train.py")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("other", [None, "2"])
def test_a_file_that_is_absent_or_differs_is_written(project, tmp_path, other):
    write(project / "train.py", FUNCTION.replace("VALUE", "1"))
    bundle = bundle_of(project)
    assert names_of(bundle) == ["train.py"]
    (project / "train.py").unlink() if other is None else write(
        project / "train.py", FUNCTION.replace("VALUE", other)
    )
    value, source = on_host(bundle, tmp_path / "work")
    assert (value, source.name) == (1, "train.py")
    assert source.is_relative_to(tmp_path / "work" / "code")


def test_a_folder_of_which_one_file_differs_is_written_whole(project, tmp_path):
    bundle = bundle_of(project, "folder")
    assert names_of(bundle) == ["train.py", "helper.py"]
    write(project / "helper.py", "VALUE = 'of today'\n")
    value, source = on_host(bundle, tmp_path / "work")
    assert value == "helped"
    (source.parent / "helper.py").write_text("VALUE = 'hurt'\n")
    source.unlink()
    assert on_host(bundle, tmp_path / "work")[0] == "helped"  # what was damaged is written again


def test_several_processes_may_write_at_once(project, tmp_path):
    for number in range(50):
        write(project / f"part{number}.py", f"NUMBER = {number}\n" * 100)
    bundle = bundle_of(project, "folder")
    away(project)
    assert on_host(bundle, tmp_path / "work", processes=2)[0] == "helped"
    (folder,) = (tmp_path / "work" / "code").iterdir()
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == set(names_of(bundle))


def test_the_same_code_is_the_same_bundle_and_has_one_folder_whatever_the_arguments(
    project, tmp_path, monkeypatch
):
    first = bundle_of(project, "folder")
    assert json.dumps(bundle_of(project, "folder")) == json.dumps(first)
    monkeypatch.setattr(sys, "argv", ["other"])
    second = bundle_of(project, "folder")
    away(project)
    assert localise(first, tmp_path)["file"] == localise(second, tmp_path)["file"]


@pytest.mark.parametrize(
    ("missing", "send", "has_cure"),
    [
        ("helper", "file", True),
        ("lib.nets", "file", True),
        ("torch", "file", False),
        ("helper", "folder", False),
    ],
)
def test_a_module_beside_the_file_that_a_host_misses(project, missing, send, has_cure):
    (project / "lib").mkdir()
    problem = f"the file must load without an error; No module named '{missing}'"
    cure = f"; train.py imports {missing.partition('.')[0]}, which lies beside it: send='folder'"
    assert with_neighbour(problem, bundle_of(project, send)) == problem + (cure if has_cure else "")
    assert with_neighbour("it has no memory", bundle_of(project)) == "it has no memory"


def package(folder: Path, train: str) -> None:
    inside = folder / "project" / "pack"
    write(inside / "__init__.py")
    write(inside / "near.py", "VALUE = 'near'\n")
    write(inside / train, "from pack import near\n" + FUNCTION.replace("VALUE", "near.VALUE"))


def test_a_module_at_the_top(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project))
    assert names_of(module_bundle("train")) == ["train.py"]
    assert names_of(module_bundle("train", "folder")) == ["train.py", "helper.py"]


def test_a_module_in_a_package_needs_its_folder(tmp_path, monkeypatch):
    package(tmp_path, "sub/train.py")
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    bundle, alone = module_bundle("pack.sub.train", "folder"), module_bundle("pack.sub.train", "file")
    assert names_of(bundle)[0] == "pack/sub/train.py"
    assert set(names_of(bundle)) == {f"pack/{name}" for name in ("__init__.py", "near.py", "sub/train.py")}
    assert names_of(alone) == []
    assert on_host(alone, tmp_path / "work")[0] == "near"  # the package is installed there
    away(tmp_path / "project")
    value, source = on_host(bundle, tmp_path / "work")
    assert value == "near"
    assert source.is_relative_to(tmp_path / "work")


def closure(value):
    @hbsim.args(lr=hbsim.Real(0.1, 1.0))
    def train(args, reporter):
        return value

    return train


def test_a_closure_travels_by_value_to_the_same_python(project, tmp_path, monkeypatch):
    target = make_target(closure(41))
    bundle = json.loads(json.dumps(make_bundle(target)))
    assert needs_trust(bundle)
    assert not needs_trust(bundle_of(project))
    assert names_of(bundle) == []
    assert load_target(localise(bundle, tmp_path))(None, None) == 41
    for first in (str(project), os.path.dirname(json.__file__)):
        with_folder = make_bundle({**target, "path": [first, *target["path"]]}, "folder")
        assert bool(names_of(with_folder)) == (first == str(project))


def test_files_that_are_left_out(project, tmp_path):
    write(project / "config.yaml", "lr: 1\n")
    write(project / "data/table.csv", "a\n1\n")
    write(project / "pkg/__init__.py")
    write(tmp_path / "elsewhere/__init__.py")
    write(tmp_path / "dataset/one.py")
    (project / "link.py").symlink_to(tmp_path / "elsewhere/__init__.py")
    sent = {*names_of(bundle_of(project, "folder"))}
    assert {"config.yaml", "data/table.csv", "pkg/__init__.py", "link.py"} < sent
    (project / "dataset").symlink_to(tmp_path / "dataset")
    (project / "pkg/round").symlink_to(project / "pkg")
    (project / "nothing.py").symlink_to(project / "none")
    os.mkfifo(project / "fifo.py")
    write(project / "big.json", "1" * ((1 << 20) + 1))
    for name in (".git/hook.py", ".hidden.py", "pkg/__pycache__/a.py", "env/pyvenv.cfg", "env/lib/a.py"):
        write(project / name)
    for name in ("site-packages/a.py", "project.egg-info/top.txt", "studies/one/journal.jsonl", "key.pem"):
        write(project / name)
    write(project / "studies/one/trials/000001/a.json")
    assert {*names_of(bundle_of(project, "folder"))} == sent


@pytest.mark.parametrize("send", ["file", "folder"])
def test_the_limit_names_the_largest(project, monkeypatch, send):
    monkeypatch.setattr(code, "LIMIT", 2 << 20)
    name = "train.py" if send == "file" else "large.py"
    write(project / name, "#" * (3 << 20))
    rule = rf"larger than 2 MiB; the largest file is .*/{name}, 3\.0 MiB"
    with pytest.raises(ParameterError, match=rule) as caught:
        bundle_of(project, send)
    assert (caught.value.field, caught.value.value) == ("send", send)


def test_a_folder_of_far_too_many_files(project, monkeypatch):
    monkeypatch.setattr(code, "MOST", 10)
    for number in range(8):
        write(project / f"{number}.png")
    assert len(names_of(bundle_of(project, "folder"))) == 2
    write(project / "8.png")
    with pytest.raises(ParameterError, match="more than 10 files; put the training code into a folder"):
        bundle_of(project, "folder")


def test_code_that_cannot_be_written(project, tmp_path):
    bundle = bundle_of(project)
    away(project)
    write(tmp_path / "work", "a file")
    with pytest.raises(OutputError, match="the training function's code cannot be written"):
        localise(bundle, tmp_path / "work")


def test_the_working_directory(project, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    bundles = []
    for cwd in (tmp_path, gone):
        monkeypatch.chdir(cwd)
        bundles.append(bundle_of(project))
    monkeypatch.chdir(tmp_path)
    assert [localise(bundle, tmp_path)["cwd"] for bundle in bundles] == [str(tmp_path), str(gone)]
    gone.rmdir()
    assert [localise(bundle, tmp_path)["cwd"] for bundle in bundles] == [str(tmp_path), str(project)]
    alone = make_bundle(make_target(closure(1)))
    assert localise({**alone, "cwd": str(gone)}, tmp_path)["cwd"] is None


def test_the_path_has_the_project_and_not_the_python_of_the_controller(project, tmp_path, monkeypatch):
    lib, other = tmp_path / "lib", tmp_path / "env/lib/python3.99/site-packages"
    for folder in (lib, other):
        folder.mkdir(parents=True)
    inside = [os.path.dirname(module.__file__) for module in (json, pytest)]
    inside += [os.path.dirname(sys.executable), str(other), str(tmp_path / "none")]
    monkeypatch.setattr(sys, "path", [str(lib), *inside, *sys.path])
    bundle = bundle_of(project)
    assert bundle["path"][0] == str(lib)
    assert not {*inside} & {*bundle["path"]}
    monkeypatch.setattr(sys, "path", ["/of/the/agent"])
    target = localise(bundle, tmp_path / "work")
    assert target["path"][:2] == [str(project), str(lib)]
    assert target["path"][-1] == "/of/the/agent"
    assert target["label"] == f"{project / 'train.py'}:train_fn"  # as its user gave it
    lib.rmdir()
    assert str(lib) not in localise(bundle, tmp_path / "work")["path"]
