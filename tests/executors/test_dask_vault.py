"""Packs in a store: on a file system, in memory, on something that behaves like an object store."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from hbsim.errors import OutputError, ParameterError

fsspec = pytest.importorskip("fsspec")

from hbsim.executors.dask.vault import Vault  # noqa: E402


class ObjectStore(fsspec.AbstractFileSystem):
    """Keys and bytes: no rename, no folders, remembered lists, uploads that are whole or not there."""

    protocol = "hbsimkeys"
    store: ClassVar[dict[str, bytes]] = {}
    short: ClassVar[int] = 0  # bytes that an upload loses
    vanishes: ClassVar[dict[str, str]] = {}  # keys that take another name when they are read

    def __init__(self, **options):
        super().__init__(**options)
        self.lists: dict[str, list[dict]] = {}

    def ls(self, path, detail=True, **_):
        path = self._strip_protocol(path)
        if path not in self.lists:
            self.lists[path] = list(self._list(path))
        if not self.lists[path]:
            raise FileNotFoundError(path)
        return self.lists[path] if detail else [entry["name"] for entry in self.lists[path]]

    def _list(self, path):
        below = sorted(key for key in self.store if key.startswith(path + "/"))
        for name in dict.fromkeys(path + "/" + key[len(path) + 1 :].split("/")[0] for key in below):
            is_file = name in self.store
            size = len(self.store.get(name, b""))
            yield {"name": name, "size": size, "type": "file" if is_file else "directory"}

    def info(self, path, **_):
        path = self._strip_protocol(path)
        if path in self.store:
            return {"name": path, "size": len(self.store[path]), "type": "file"}
        return {"name": self.ls(path)[0]["name"].rpartition("/")[0], "size": 0, "type": "directory"}

    def invalidate_cache(self, path=None):
        self.lists.clear()

    def put_file(self, lpath, rpath, callback=None, **_):
        data = Path(lpath).read_bytes()
        self.store[self._strip_protocol(rpath)] = data[: len(data) - self.short]

    def pipe_file(self, path, value, **_):
        self.store[self._strip_protocol(path)] = value

    def _open(self, path, mode="rb", **_):
        path = self._strip_protocol(path)
        if path in self.vanishes:
            self.store[self.vanishes.pop(path)] = self.store.pop(path)
        if mode != "rb" or path not in self.store:
            raise FileNotFoundError(path)
        return io.BytesIO(self.store[path])

    def rm_file(self, path):
        del self.store[self._strip_protocol(path)]

    def rm(self, path, recursive=False, **_):
        keys = [key for key in self.store if key.startswith(self._strip_protocol(path) + "/")]
        if not keys:
            raise FileNotFoundError(path)
        for key in keys:
            del self.store[key]

    def _never(self, *_, **__):
        raise AssertionError("an object store has no folders, and a rename is a copy")

    mkdir = makedirs = cp_file = copy = _never


@pytest.fixture(autouse=True)
def _stores():
    fsspec.register_implementation(ObjectStore.protocol, ObjectStore, clobber=True)
    yield
    ObjectStore.store.clear()
    ObjectStore.vanishes.clear()
    ObjectStore.short = 0
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pseudo_dirs[:] = [""]


@pytest.fixture(params=["file", "memory", "hbsimkeys"])
def url(request, tmp_path):
    return f"file://{tmp_path}/store" if request.param == "file" else f"{request.param}://bucket/some/where"


def file_of(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "one.tar"
    file.write_text(text)
    return file


def names(url: str) -> list[str]:
    fs, path = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return sorted(found.removeprefix(path + "/") for found in fs.find(path))


def test_what_is_put_can_be_got(url, tmp_path):
    vault = Vault(url, "abc")
    vault.check()
    assert names(url) == []
    vault.put(7, 12, file_of(tmp_path, "twelve"))
    vault.put(70, 1, file_of(tmp_path, "other"))
    Vault(url, "another").put(7, 99, file_of(tmp_path, "foreign"))
    assert names(url) == ["abc/000007/12.tar", "abc/000070/1.tar", "another/000007/99.tar"]
    assert vault.get(7, tmp_path / "deep" / "there.tar") == 12
    assert (tmp_path / "deep" / "there.tar").read_text() == "twelve"
    assert os.listdir(tmp_path / "deep") == ["there.tar"]
    assert vault.jobs() == {7: 12, 70: 1}


def test_what_is_not_there(url, tmp_path):
    vault = Vault(url, "abc")
    assert vault.get(1, tmp_path / "there.tar") is None
    assert vault.jobs() == {}
    vault.remove(1)
    assert not (tmp_path / "there.tar").exists()


def test_the_newest_counts_and_earlier_ones_go(url, tmp_path):
    vault, another = Vault(url, "abc"), Vault(url, "abc")
    for job in (9, 10):  # as text the other way round
        another.get(7, tmp_path / "there.tar")  # so that it could remember what was there
        vault.put(7, job, file_of(tmp_path, str(job)))
    assert names(url) == ["abc/000007/10.tar"]
    vault.put(7, 8, file_of(tmp_path, "8"))  # of a host that was cut off
    assert another.get(7, tmp_path / "there.tar") == 10
    assert (tmp_path / "there.tar").read_text() == "10"
    assert another.jobs() == {7: 10}
    vault.put(7, 10, file_of(tmp_path, "again"))
    assert another.get(7, tmp_path / "there.tar") == 10
    assert (tmp_path / "there.tar").read_text() == "again"


def test_other_names_are_no_packs(url, tmp_path):
    vault = Vault(url, "abc")
    vault.put(7, 1, file_of(tmp_path, "1"))
    fs, path = fsspec.core.url_to_fs(url)
    for name in ("000007/9.tar.part", "000007/x.tar", "000007/99", "notes/5.tar"):
        if "notes" in name and "file" in url:
            fs.makedirs(f"{path}/abc/notes")
        fs.pipe_file(f"{path}/abc/{name}", b"")
    assert vault.get(7, tmp_path / "there.tar") == 1
    assert vault.jobs() == {7: 1}


def test_a_trial_that_is_removed(url, tmp_path):
    vault = Vault(url, "abc")
    for trial in (1, 10):
        vault.put(trial, 1, file_of(tmp_path, "1"))
        assert trial in vault.jobs()
    Vault(url, "abc").remove(1)
    assert vault.jobs() == {10: 1}


def test_an_object_store_is_asked_for_no_folder_and_no_rename(tmp_path):
    """The doubles raise if it is; and the check would tell."""
    vault = Vault("hbsimkeys://bucket", "abc")
    vault.check()
    vault.put(1, 1, file_of(tmp_path, "1"))
    assert list(ObjectStore.store) == ["bucket/abc/000001/1.tar"]


def test_an_upload_that_arrives_in_part_is_an_error(tmp_path):
    ObjectStore.short = 1
    with pytest.raises(
        OutputError, match=r"hbsimkeys://b/abc/000001/1\.tar: cannot be written: 3 bytes have"
    ):
        Vault("hbsimkeys://b", "abc").put(1, 1, file_of(tmp_path, "four"))


def test_what_another_process_does_is_seen(tmp_path):
    vault = Vault("hbsimkeys://b", "abc")
    vault.put(1, 1, file_of(tmp_path, "one"))
    assert vault.jobs() == {1: 1}
    ObjectStore.store["b/abc/000001/2.tar"] = b"two"
    ObjectStore.store["b/abc/000002/5.tar"] = b"five"
    assert vault.jobs() == {1: 2, 2: 5}
    ObjectStore.store["b/abc/000001/3.tar"] = b"three"
    assert vault.get(1, tmp_path / "there.tar") == 3


def test_a_later_pack_that_comes_while_one_is_read(tmp_path):
    vault = Vault("hbsimkeys://b", "abc")
    vault.put(1, 1, file_of(tmp_path, "one"))
    ObjectStore.vanishes["b/abc/000001/1.tar"] = "b/abc/000001/2.tar"
    assert vault.get(1, tmp_path / "there.tar") == 2
    assert sorted(os.listdir(tmp_path)) == ["one.tar", "there.tar"]


def test_an_upload_that_is_interrupted_leaves_the_one_before(tmp_path, monkeypatch):
    from fsspec.implementations.local import LocalFileSystem

    vault = Vault(f"file://{tmp_path}/store", "abc")
    vault.put(7, 1, file_of(tmp_path, "one"))

    def torn(self, source, target, **_):
        Path(target).write_text("t")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(LocalFileSystem, "put_file", torn)
        with pytest.raises(OutputError, match=r"2\.tar: cannot be written: No space left on device"):
            vault.put(7, 2, file_of(tmp_path, "two"))
    assert names(f"file://{tmp_path}/store") == ["abc/000007/1.tar"]


def test_a_download_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    vault = Vault("hbsimkeys://b", "abc")
    vault.put(7, 1, file_of(tmp_path, "one"))

    def torn(self, source, target, **_):
        Path(target).write_text("t")
        raise TimeoutError("nobody answers")

    monkeypatch.setattr(ObjectStore, "get_file", torn)
    with pytest.raises(OutputError, match="hbsimkeys://b/abc/000007: cannot be read: nobody answers"):
        vault.get(7, tmp_path / "there.tar")
    assert os.listdir(tmp_path) == ["one.tar"]


def refused(url: str) -> str:
    with pytest.raises(ParameterError) as caught:
        Vault(url, "abc").check()
    assert (caught.value.field, caught.value.value) == ("storage", url)
    return caught.value.rule


def test_a_protocol_that_nobody_knows():
    assert refused("s33://bucket") == "Protocol not known: s33. Did you mean 's3'?"


def test_a_package_that_is_not_installed(monkeypatch):
    known = {"class": "hbsimgone.X", "err": "Install gonefs"}
    monkeypatch.setitem(sys.modules["fsspec.registry"].known_implementations, "hbsimgone", known)
    assert refused("hbsimgone://bucket") == "needs a package that is not installed here: Install gonefs"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    assert refused(f"file://{tmp_path}/file").startswith("cannot be used: ")


def test_a_store_that_forgets(monkeypatch):
    monkeypatch.setattr(ObjectStore, "cat_file", lambda self, path, **_: b"")
    assert refused("hbsimkeys://b") == "does not give back what is written to it"


def test_a_store_that_refuses(monkeypatch):
    def refuse(self, path, value, **_):
        raise PermissionError(13, "Access Denied")

    monkeypatch.setattr(ObjectStore, "pipe_file", refuse)
    assert refused("hbsimkeys://b") == "cannot be used: Access Denied"


def test_nothing_is_opened_before_it_is_used():
    Vault("s33://bucket", "abc")
