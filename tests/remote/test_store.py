"""Checkpoints behind a URL: on a file system, in memory, on something that behaves like an object store."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.errors import OutputError, ParameterError

fsspec = pytest.importorskip("fsspec")

from hbsim.executors.remote.store import CheckpointStore  # noqa: E402
from tests.profile import examples  # noqa: E402


class ObjectStore(fsspec.AbstractFileSystem):
    """Keys and bytes: no rename, no folders, remembered lists, uploads that are whole or not there."""

    protocol = "hbsimkeys"
    store: ClassVar[dict[str, bytes]] = {}
    fails: ClassVar[int | None] = None  # how many operations work before none does

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lists: dict[str, list[dict[str, Any]]] = {}

    def ls(self, path: str, detail: bool = True, **_: Any) -> Any:
        path = self._strip_protocol(path)
        if path not in self.lists:
            self.lists[path] = list(self._list(path))
        if not self.lists[path]:
            raise FileNotFoundError(path)
        return self.lists[path] if detail else [entry["name"] for entry in self.lists[path]]

    def _list(self, path: str) -> Iterator[dict[str, Any]]:
        below = sorted(key for key in self.store if key.startswith(path + "/"))
        for name in dict.fromkeys(path + "/" + key[len(path) + 1 :].split("/")[0] for key in below):
            is_file = name in self.store
            size = len(self.store.get(name, b""))
            yield {"name": name, "size": size, "type": "file" if is_file else "directory"}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if path in self.store:
            return {"name": path, "size": len(self.store[path]), "type": "file"}
        return {"name": self.ls(path)[0]["name"].rpartition("/")[0], "size": 0, "type": "directory"}

    def invalidate_cache(self, path: str | None = None) -> None:
        self.lists.clear()

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        self._write(rpath, Path(lpath).read_bytes())

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        self._write(path, value)

    def _write(self, path: str, value: bytes) -> None:
        self._count()
        self.store[self._strip_protocol(path)] = value

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        path = self._strip_protocol(path)
        if mode != "rb" or path not in self.store:
            raise FileNotFoundError(path)
        return io.BytesIO(self.store[path])

    def rm_file(self, path: str) -> None:
        self._count()
        try:
            del self.store[self._strip_protocol(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    def rm(self, path: str, recursive: bool = False, **_: Any) -> None:
        keys = sorted(key for key in self.store if key.startswith(self._strip_protocol(path) + "/"))
        if not keys:
            raise FileNotFoundError(path)
        for key in keys:
            self.rm_file(key)

    def _count(self) -> None:
        if ObjectStore.fails is not None:
            if ObjectStore.fails == 0:
                raise TimeoutError("nobody answers")
            ObjectStore.fails -= 1

    def _never(self, *_: Any, **__: Any) -> None:
        raise AssertionError("an object store has no folders, and a rename is a copy")

    mkdir = makedirs = cp_file = copy = _never


def reset() -> None:
    ObjectStore.store.clear()
    ObjectStore.fails = None


@pytest.fixture(autouse=True)
def _stores() -> Iterator[None]:
    fsspec.register_implementation(ObjectStore.protocol, ObjectStore, clobber=True)
    reset()
    yield
    reset()
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(params=["file", "memory", "hbsimkeys"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/store" if request.param == "file" else f"{request.param}://bucket/path"


def made(folder: Path, content: dict[str, str]) -> Path:
    """Return a new folder with these files; a name that ends in / is a folder."""
    folder.mkdir(parents=True)
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_text(text)
    return folder


def content_of(folder: Path) -> dict[str, str]:
    """Return what is in a folder, as `made` takes it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            found[name] = path.read_text()
        elif not any(path.iterdir()):
            found[f"{name}/"] = ""
    return found


def put(store: CheckpointStore, folder: Path, trial: int, job: int, text: str = "") -> None:
    """CheckpointStore a checkpoint of one file."""
    source = folder / f"source-{trial}-{job}-{len(list(folder.iterdir()))}"
    store.put(trial, job, made(source, {"state": text or str(job)}))


def got(store: CheckpointStore, folder: Path, trial: int, job: int) -> str:
    """Return what is in the checkpoint that a store gives."""
    target = folder / f"target-{len(list(folder.iterdir()))}"
    store.get(trial, job, target)
    return (target / "checkpoint" / "state").read_text()


def test_a_checkpoint_comes_back_as_it_was(url: str, tmp_path: Path) -> None:
    inner = {"meta.json": "{}", "model/weights.bin": "w" * 1000, "model/deep/er": "", "empty/": ""}
    files = {"notes.txt": "n", "odd name#1?.txt": "o", "empty/": ""}
    store = CheckpointStore(url, "abc")
    store.check()
    store.put(3, 7, made(tmp_path / "one", inner), made(tmp_path / "files", files))
    store.put(4, 8, made(tmp_path / "other", {"meta.json": "{}"}), tmp_path / "none")
    assert CheckpointStore(url, "abc").jobs() == {3: 7, 4: 8}
    assert CheckpointStore(url, "abd").jobs() == {}
    CheckpointStore(url, "abc").get(3, 7, tmp_path / "there")
    assert content_of(tmp_path / "there" / "checkpoint") == dict(sorted(inner.items()))
    assert content_of(tmp_path / "there" / "files") == dict(sorted(files.items()))
    CheckpointStore(url, "abc").get(4, 8, tmp_path / "there too")
    assert content_of(tmp_path / "there too" / "files") == {}


def test_what_is_not_there(url: str, tmp_path: Path) -> None:
    store = CheckpointStore(url, "abc")
    assert store.jobs() == {}
    store.remove(1)
    with pytest.raises(OutputError, match="cannot be read: it is not there"):
        store.get(1, 5, tmp_path / "there")
    put(store, tmp_path, 1, 4)
    with pytest.raises(OutputError, match="abc/000001/5: cannot be read: it is not there"):
        store.get(1, 5, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_the_newest_counts_and_earlier_ones_go(url: str, tmp_path: Path) -> None:
    store, another = CheckpointStore(url, "abc"), CheckpointStore(url, "abc")
    for job in (9, 10):  # as text the other way round
        assert another.jobs() == ({} if job == 9 else {7: 9})  # which it could remember
        put(store, tmp_path, 7, job)
    put(store, tmp_path, 7, 8)  # of a host that was cut off
    assert another.jobs() == {7: 10}
    assert got(another, tmp_path, 7, 9) == "10"
    put(store, tmp_path, 7, 10, "again")
    assert got(another, tmp_path, 7, 10) == "again"
    fs, path = fsspec.core.url_to_fs(url)
    assert {name.partition("/abc/")[2].split("/")[1] for name in fs.find(f"{path}/abc")} == {"10"}
    store.remove(7)
    assert fs.find(f"{path}/abc") == []


def test_other_names_are_no_checkpoints(url: str, tmp_path: Path) -> None:
    store = CheckpointStore(url, "abc")
    put(store, tmp_path, 7, 1)
    fs, path = fsspec.core.url_to_fs(url)
    for name in ("000007/9/checkpoint/state", "000007/x/complete.json", "000007/99", "notes/5/complete.json"):
        if url.startswith("file"):
            fs.makedirs(f"{path}/abc/{name}".rpartition("/")[0], exist_ok=True)
        fs.pipe_file(f"{path}/abc/{name}", b"")
    assert store.jobs() == {7: 1}
    assert got(store, tmp_path, 7, 1) == "1"


def test_a_download_that_is_cut_short_leaves_nothing(url: str, tmp_path: Path) -> None:
    store = CheckpointStore(url, "abc")
    put(store, tmp_path, 7, 1, "long")
    fs, path = fsspec.core.url_to_fs(url)
    fs.pipe_file(f"{path}/abc/000007/1/checkpoint/state", b"lo")
    with pytest.raises(OutputError, match=r"000007/1: cannot be read: 2 bytes of .* have come of 4"):
        store.get(7, 1, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_nothing_is_written_beside_the_target(tmp_path: Path) -> None:
    store = CheckpointStore("hbsimkeys://b", "abc")
    put(store, tmp_path, 7, 1)
    ObjectStore.store["b/abc/000007/1/complete.json"] = b'{"files": {"files/../../x": 1}, "folders": []}'
    with pytest.raises(OutputError, match=r"complete\.json names files/\.\./\.\./x"):
        store.get(7, 1, tmp_path / "there")


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "remove"]), st.integers(0, 1), st.none() | st.integers(0, 5)
        ),
        max_size=8,
    )
)
def test_whatever_is_cut_short_a_whole_checkpoint_is_given(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int | None]]
) -> None:
    """A naive double keeps what was stored last; an operation that fails has happened, or has not."""
    reset()
    folder = tmp_path_factory.mktemp("steps")
    may: dict[int, set[int]] = {
        0: {-1},
        1: {-1},
    }  # by trial: the jobs whose checkpoint may be there; -1: none
    for job, (what, trial, works) in enumerate(steps):
        store = CheckpointStore("hbsimkeys://b", "abc")
        ObjectStore.fails = works
        after = job if what == "put" else -1
        try:
            put(store, folder, trial, job) if what == "put" else store.remove(trial)
            may[trial] = {after}
        except OutputError:
            may[trial] |= {after}
        finally:
            ObjectStore.fails = None
        jobs = CheckpointStore("hbsimkeys://b", "abc").jobs()
        for one, possible in may.items():
            found = jobs.get(one, -1)
            assert found in possible
            may[one] = {found}
            if found >= 0:
                assert got(store, folder, one, found) == str(found)


# What is said of a store that cannot be used


def refused(url: str) -> str:
    with pytest.raises(ParameterError) as caught:
        CheckpointStore(url, "abc").check()
    assert (caught.value.field, caught.value.value) == ("storage", url)
    return caught.value.rule


def test_a_protocol_that_nobody_knows() -> None:
    CheckpointStore("s33://bucket", "abc")  # nothing is opened before it is used
    assert refused("s33://bucket") == "cannot be opened: Protocol not known: s33"


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"class": "hbsimgone.X", "err": "Install gonefs"}
    monkeypatch.setitem(sys.modules["fsspec.registry"].known_implementations, "hbsimgone", known)
    assert refused("hbsimgone://bucket") == "needs a package that is not installed: Install gonefs"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refused(f"file://{tmp_path}/file").startswith("cannot be used: ")


def test_a_store_that_refuses() -> None:
    ObjectStore.fails = 0
    assert refused("hbsimkeys://b") == "cannot be used: nobody answers"


def test_the_agents_command(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "hbsim.executors.remote.store"]
    url = f"file://{tmp_path}/store"

    def run(*words: object) -> tuple[int, str]:
        done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, env=os.environ)
        return done.returncode, done.stderr.strip()

    source, files = made(tmp_path / "one", {"state": "s"}), made(tmp_path / "files", {"a": "b"})
    assert run("put", url, "abc", 3, 7, source, files) == (0, "")
    assert run("get", url, "abc", 3, 7, tmp_path / "there") == (0, "")
    assert content_of(tmp_path / "there") == {"checkpoint/state": "s", "files/a": "b"}
    said = f"file://{tmp_path}/store/abc/000003/8: cannot be read: it is not there".replace(
        "file:///", "file://"
    )
    assert run("get", url, "abc", 3, 8, tmp_path / "more") == (1, said)
