"""How code gets to hosts that do not have it: what is sent, where it goes, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.errors import ParameterError
from hbsim.executors.dask import code, code_files
from hbsim.executors.dask.code import localise, make_bundle, needs_trust, with_neighbour
from hbsim.executors.target import load_target, make_target

ROOT = Path(__file__).parents[2]
FUNCTION = """
import hbsim

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    return VALUE
"""
# Places the code of the bundle on stdin in the folder of the first argument; prints what the function gives.
THERE = """
import json, sys
from pathlib import Path
from hbsim.executors.dask.code import localise
from hbsim.executors.target import load_target, source_of
target = localise(json.load(sys.stdin), Path(sys.argv[1]))
function = load_target(target)
print(json.dumps([function(None, None), str(source_of(target)), target["cwd"], sys.path]))
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
    folder = tmp_path / "project"
    write(
        folder / "train.py", FUNCTION.replace("VALUE", "helper.VALUE").replace("import", "import helper, ", 1)
    )
    write(folder / "helper.py", "VALUE = 'helped'\n")
    return folder


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def bundle_of(folder: Path, send: str = "file", train: str = "train.py") -> dict:
    """Make a bundle as it arrives."""
    return json.loads(json.dumps(make_bundle(make_target(f"{folder / train}:train_fn"), send)))


def there(bundle: dict, work: Path) -> tuple[object, Path, str | None, list[str]]:
    """Load a bundle in a new process that knows nothing of the project."""
    done = start(bundle, work)
    out, err = done.communicate(json.dumps(bundle))
    assert done.returncode == 0, err
    value, source, cwd, path = json.loads(out)
    return value, Path(source), cwd, path


def start(bundle: dict, work: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", THERE, str(work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=work.parent,
    )


def names_of(bundle: dict) -> list[str]:
    return [file["name"] for file in bundle["files"]]


def away(folder: Path) -> None:
    """Take the project away, as on another host."""
    folder.rename(folder.with_name("away"))


def test_a_file_that_is_the_same_is_used_in_place(project, tmp_path):
    value, source, _, _ = there(bundle_of(project), tmp_path / "work")
    assert (value, source) == ("helped", project / "train.py")
    assert not (tmp_path / "work").exists()


def test_a_file_that_is_not_there_is_written(project, tmp_path):
    write(project / "train.py", FUNCTION.replace("VALUE", "__name__"))
    bundle = bundle_of(project)
    away(project)
    value, source, _, path = there(bundle, tmp_path / "work")
    assert (value, source.name) == ("train", "train.py")
    assert source.is_relative_to(tmp_path / "work" / "code")
    assert path[0] == str(source.parent)
    assert names_of(bundle) == ["train.py"]


def test_a_file_that_differs_is_written(project, tmp_path):
    write(project / "train.py", FUNCTION.replace("VALUE", "1"))
    bundle = bundle_of(project)
    write(project / "train.py", FUNCTION.replace("VALUE", "2"))
    assert there(bundle, tmp_path / "work")[0] == 1


def test_a_folder_is_sent_whole(project, tmp_path):
    bundle = bundle_of(project, "folder")
    assert names_of(bundle) == ["train.py", "helper.py"]
    away(project)
    assert there(bundle, tmp_path / "work")[0] == "helped"


@pytest.mark.parametrize(
    ("missing", "send", "said"),
    [
        ("helper", "file", True),
        ("lib.nets", "file", True),
        ("torch", "file", False),
        ("helper", "folder", False),
    ],
)
def test_a_module_beside_the_file_that_a_host_misses(project, missing, send, said):
    (project / "lib").mkdir()
    problem = (
        f"the file must load without an error; ModuleNotFoundError: No module named '{missing}' (on gpu1)"
    )
    name = missing.partition(".")[0]
    cure = f"; train.py imports {name}, which lies beside it: send='folder'" if said else ""
    assert with_neighbour(problem, bundle_of(project, send)) == problem + cure
    assert with_neighbour("it has no memory", {}) == "it has no memory"


def test_a_folder_of_which_one_file_differs_is_written_whole(project, tmp_path):
    bundle = bundle_of(project, "folder")
    write(project / "helper.py", "VALUE = 'of today'\n")
    value, source, _, _ = there(bundle, tmp_path / "work")
    assert value == "helped"
    assert (source.parent / "helper.py").read_text() == "VALUE = 'helped'\n"


def test_code_on_the_host_that_was_damaged_is_written_again(project, tmp_path):
    bundle = bundle_of(project, "folder")
    away(project)
    source = there(bundle, tmp_path / "work")[1]
    (source.parent / "helper.py").write_text("VALUE = 'hurt'\n")  # of the same length
    source.unlink()
    assert there(bundle, tmp_path / "work")[0] == "helped"


def test_the_same_code_has_the_same_folder_whatever_the_arguments(project, tmp_path, monkeypatch):
    first = bundle_of(project)
    monkeypatch.setattr(sys, "argv", ["other"])
    second = bundle_of(project)
    away(project)
    assert localise(first, tmp_path)["file"] == localise(second, tmp_path)["file"]
    assert first["digest"] != second["digest"]


def test_two_processes_at_once(project, tmp_path):
    for number in range(50):
        write(project / f"part{number}.py", f"NUMBER = {number}\n" * 100)
    bundle = bundle_of(project, "folder")
    away(project)
    started = [start(bundle, tmp_path / "work") for _ in range(2)]
    for process in started:  # both wait for their bundle
        process.stdin.write(json.dumps(bundle))
    for process in started:
        process.stdin.close()
        process.stdin = None
    results = [process.communicate() for process in started]
    assert [json.loads(out)[0] for out, _ in results] == ["helped", "helped"]
    (folder,) = (tmp_path / "work" / "code").iterdir()
    left = {path.name for path in folder.iterdir()} - {"__pycache__"}
    assert left == set(names_of(bundle))


def test_a_module_at_the_top(project, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(project))
    bundle = module_bundle("train")
    assert names_of(bundle) == ["train.py"]
    assert names_of(module_bundle("train", "folder")) == ["train.py", "helper.py"]


def test_a_module_in_a_package_needs_its_folder(tmp_path, monkeypatch):
    package(tmp_path, "sub/train.py")
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    bundle = module_bundle("pack.sub.train", "folder")
    alone = module_bundle("pack.sub.train", "file")
    assert names_of(bundle)[0] == "pack/sub/train.py"
    assert set(names_of(bundle)) == {f"pack/{name}" for name in ("__init__.py", "near.py", "sub/train.py")}
    assert alone["files"][0]["data"] is None
    assert there(alone, tmp_path / "work")[0] == "near"  # the package is here
    away(tmp_path / "project")
    value, source, _, path = there(bundle, tmp_path / "work")
    assert value == "near"
    assert source == Path(path[0], "pack/sub/train.py")
    assert path[0].startswith(str(tmp_path / "work"))
    with pytest.raises(ParameterError, match=r'package of pack.sub.train is not on .* send="folder"'):
        localise(alone, tmp_path / "work")


def test_a_package_that_the_host_has_elsewhere(tmp_path, monkeypatch):
    package(tmp_path, "__init__.py")
    with monkeypatch.context() as here:
        here.syspath_prepend(str(tmp_path / "project"))
        bundle = module_bundle("pack", "file")
        package(tmp_path, "sub/train.py")
        dotted = module_bundle("pack.sub.train", "file")
    assert names_of(bundle) == ["pack/__init__.py"]
    away(tmp_path / "project")
    monkeypatch.syspath_prepend(str(tmp_path / "away"))
    target = localise(dotted, tmp_path / "work")
    assert target["path"][0] == str(tmp_path / "away")
    write(tmp_path / "away/pack/sub/train.py", "# other\n")
    with pytest.raises(ParameterError, match=r"train.py on .* is another version of pack.sub.train"):
        localise(dotted, tmp_path / "work")


def package(folder: Path, train: str) -> None:
    inside = folder / "project" / "pack"
    write(inside / "__init__.py")
    write(inside / "near.py", "VALUE = 'near'\n")
    write(inside / train, "from pack import near\n" + FUNCTION.replace("VALUE", "near.VALUE"))


def module_bundle(dotted: str, send: str = "file") -> dict:
    target = {"module": dotted, "name": "train_fn", "path": list(sys.path), "argv": [], "main": False}
    return json.loads(json.dumps(make_bundle(target, send)))


def test_a_closure_travels_as_it_is(tmp_path):
    target = make_target(closure(41))
    bundle = json.loads(json.dumps(make_bundle(target)))
    assert needs_trust(bundle)
    assert bundle["files"] == []
    assert load_target(localise(bundle, tmp_path))(None, None) == 41


def closure(value):
    @hbsim.args(lr=hbsim.Real(0.1, 1.0))
    def train(args, reporter):
        return value

    return train


def test_a_closure_with_the_folder_it_was_made_in(project, tmp_path, monkeypatch):
    target = make_target(closure(41))
    for first in (str(project), os.path.dirname(json.__file__)):
        bundle = make_bundle({**target, "path": [first, *target["path"]]}, "folder")
        assert bundle["root"] == (first if first == str(project) else None)
    bundle = make_bundle({**target, "path": [str(project)]}, "folder")
    away(project)
    assert Path(localise(bundle, tmp_path / "work")["path"][0], "helper.py").is_file()


def test_a_closure_is_for_the_same_python_only(tmp_path, monkeypatch):
    bundle = make_bundle(make_target(closure(1)))
    monkeypatch.setattr(sys, "version_info", (3, 99, 0, "final", 0), raising=False)
    from hbsim.executors.dask import code_place

    monkeypatch.setattr(code_place, "python_version", lambda: "3.99")
    with pytest.raises(ParameterError, match=r"is sent by value from Python 3\.1\d, which Python 3\.99 on"):
        localise(bundle, tmp_path)


def test_a_file_needs_no_trust(project):
    assert not needs_trust(bundle_of(project))


def test_what_is_left_out(project, tmp_path):
    sent = [
        "train.py",
        "config.yaml",
        "data/table.csv",
        "helper.py",
        "link.py",
        "linked/__init__.py",
        "pkg/a.py",
    ]
    write(project / "config.yaml", "lr: 1\n")
    write(project / "data/table.csv", "a\n1\n")
    write(project / "pkg/a.py")
    write(tmp_path / "elsewhere/__init__.py")
    write(tmp_path / "dataset/one.py")
    (project / "link.py").symlink_to(tmp_path / "elsewhere/__init__.py")
    (project / "linked").symlink_to(tmp_path / "elsewhere")
    (project / "dataset").symlink_to(tmp_path / "dataset")
    (project / "pkg/round").symlink_to(project / "pkg")
    (project / "nothing.py").symlink_to(project / "none")
    os.mkfifo(project / "fifo.py")
    write(project / "big.json", "1" * ((1 << 20) + 1))
    for name in (
        ".git/hook.py",
        ".hidden.py",
        "pkg/__pycache__/a.py",
        "env/pyvenv.cfg",
        "env/lib/a.py",
        "site-packages/a.py",
        "project.egg-info/top.txt",
        "studies/one/journal.jsonl",
        "studies/one/trials/000001/a.json",
        "weights.pt",
        "picture.png",
        "key.pem",
    ):
        write(project / name)
    assert names_of(bundle_of(project, "folder")) == sent


def test_a_package_linked_into_itself_ends(project):
    write(project / "pkg/__init__.py")
    (project / "pkg/round").symlink_to(project / "pkg")
    assert names_of(bundle_of(project, "folder")) == ["train.py", "helper.py", "pkg/__init__.py"]


@pytest.mark.parametrize("send", ["file", "folder"])
def test_the_limit_names_the_largest(project, monkeypatch, send):
    monkeypatch.setattr(code_files, "LIMIT", 2 << 20)
    write(project / ("train.py" if send == "file" else "large.py"), "#" * (3 << 20))
    name = "train.py" if send == "file" else "large.py"
    with pytest.raises(
        ParameterError, match=rf"larger than 2 MiB; the largest file is .*/{name}, 3\.0 MiB"
    ) as e:
        bundle_of(project, send)
    assert (e.value.field, e.value.value) == ("send", send)


def test_a_folder_of_far_too_many_files(project, monkeypatch):
    monkeypatch.setattr(code_files, "_MOST", 10)
    for number in range(8):
        write(project / f"{number}.png")
    assert len(names_of(bundle_of(project, "folder"))) == 2
    write(project / "8.png")
    with pytest.raises(ParameterError, match="more than 10 files; put the training code into a folder"):
        bundle_of(project, "folder")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_was_changed_on_the_way_is_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("changed")
    write(folder / "train.py", FUNCTION.replace("VALUE", "1"))
    write(folder / "helper.py", "VALUE = 'helped'\n")
    bundle = bundle_of(folder, "folder")
    text = json.dumps(bundle)
    (folder / "train.py").unlink()
    (folder / "helper.py").unlink()
    where = data.draw(
        st.sampled_from(["name", "size", "sha256", "data", "root", "cwd", "path", "target", "digest"])
    )
    if where in ("name", "size", "sha256", "data"):
        at = data.draw(st.integers(0, 1))
        bundle["files"][at][where] = _other(bundle["files"][at][where], data)
    else:
        bundle[where] = _other(bundle[where], data)
    assert json.dumps(bundle) != text
    with pytest.raises(ParameterError, match="not what was sent"):
        localise(bundle, folder / "work")


def _other(value, data):
    if isinstance(value, int):
        return value + data.draw(st.integers(1, 9))
    if isinstance(value, dict):
        return {**value, "name": "other"}
    if isinstance(value, list):
        return [*value, "/other"]
    at = data.draw(st.integers(0, 10**6)) % len(value.rstrip("=")[:-1])  # the last digit has bits of no use
    return value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]


def test_a_file_in_place_of_another_is_refused(project, tmp_path):
    first = bundle_of(project, "folder")
    write(project / "helper.py", "VALUE = 'HELPED'\n")
    second = bundle_of(project, "folder")
    away(project)
    first["files"][1]["data"] = second["files"][1]["data"]
    with pytest.raises(ParameterError, match=r"helper\.py, as it has arrived, is not what was sent"):
        localise(first, tmp_path / "work")


@pytest.mark.parametrize(
    "name", ["../out.py", "/out.py", "a/../../out.py", "a//b.py", "./a.py", "", "a\0.py"]
)
def test_no_path_leads_out_even_of_a_bundle_made_for_it(project, tmp_path, name):
    from hbsim.executors.dask.code_place import digest_of

    bundle = bundle_of(project)
    bundle["files"][0]["name"] = name
    bundle["digest"] = digest_of(bundle)
    with pytest.raises(ParameterError, match="not what was sent"):
        localise(bundle, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_bundle_of_another_version(project, tmp_path):
    with pytest.raises(ParameterError, match=r"is code of version 2; this hbsim, on .*, reads 1"):
        localise({**bundle_of(project), "version": 2}, tmp_path)


def test_the_working_directory(project, tmp_path, monkeypatch):
    inner = project / "inner"
    write(inner / "data.txt")
    bundles = []
    for cwd in (tmp_path, inner, project.parent):
        monkeypatch.chdir(cwd)
        bundles.append(bundle_of(project, "folder"))
    monkeypatch.chdir(tmp_path)
    assert [localise(bundle, tmp_path)["cwd"] for bundle in bundles] == [
        str(tmp_path),
        str(inner),
        str(tmp_path),
    ]
    away(project)
    written = localise(bundles[1], tmp_path)
    assert written["cwd"] == str(Path(written["file"]).parent / "inner")


def test_a_working_directory_elsewhere_that_is_not_here(project, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    bundle, alone = bundle_of(project), make_bundle(make_target(closure(1)))
    monkeypatch.chdir(tmp_path)
    gone.rmdir()
    away(project)
    target = localise(bundle, tmp_path / "work")
    assert target["cwd"] == str(Path(target["file"]).parent)
    assert localise(alone, tmp_path / "work")["cwd"] is None


def test_the_path_takes_the_project_and_leaves_the_other_python(project, tmp_path, monkeypatch):
    lib = tmp_path / "lib"
    other = tmp_path / "env/lib/python3.99/site-packages"
    for folder in (lib, other):
        folder.mkdir(parents=True)
    inside = [
        os.path.dirname(json.__file__),
        os.path.dirname(pytest.__file__),
        os.path.dirname(sys.executable),
    ]
    monkeypatch.setattr(sys, "path", [str(lib), *inside, str(other), str(tmp_path / "none"), *sys.path])
    bundle = bundle_of(project)
    assert bundle["path"][0] == str(lib)
    assert not {*inside, str(other), str(tmp_path / "none")} & set(bundle["path"])
    monkeypatch.setattr(sys, "path", ["/of/the/agent"])
    target = localise(bundle, tmp_path / "work")
    assert target["path"][:2] == [str(project), str(lib)]
    assert target["path"][-1] == "/of/the/agent"
    lib.rmdir()
    assert str(lib) not in localise(bundle, tmp_path / "work")["path"]


def test_people_read_the_name_that_they_gave(project, tmp_path):
    bundle = bundle_of(project)
    write(project / "train.py", "")
    target = localise({**bundle}, tmp_path / "work")
    assert target["label"] == f"{project / 'train.py'}:train_fn"


def test_code_that_cannot_be_written(project, tmp_path):
    bundle = bundle_of(project)
    away(project)
    write(tmp_path / "work", "a file")
    with pytest.raises(hbsim.errors.OutputError, match="the training function's code cannot be written"):
        localise(bundle, tmp_path / "work")


def test_the_same_code_is_the_same_bytes(project):
    assert json.dumps(bundle_of(project, "folder")) == json.dumps(bundle_of(project, "folder"))
    assert code.localise is localise
