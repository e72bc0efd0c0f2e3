"""Packs: what survives, what is refused, and what an interruption leaves."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.errors import OutputError
from hbsim.executors import checkpoint
from hbsim.executors.dask import pack_tar, packs
from tests.doubles.trial import of_job

LONG = "long" * 40


@pytest.fixture
def trial(tmp_path):
    return make(tmp_path / "trial", {"weights": [1, 2]}, job=4)


def make(folder: Path, obj: object, job: int | None, resource: float | None = 3.0, **files: str) -> Path:
    """Make a trial's folder, with a checkpoint and files."""
    checkpoint.save(folder / "checkpoint", obj, origin=of_job(job), resource=resource)
    for name, text in (files or {"own.txt": "own"}).items():
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / name).write_text(text)
    (folder / "log.txt").write_text("a log")
    return folder


def content(folder: Path) -> dict[str, bytes | None]:
    """All below a folder by its path; None for a folder, and for a link what it says."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = None if path.is_dir() else path.read_bytes()
    return found


def state(folder: Path) -> tuple[object, dict, dict]:
    """What of a trial's folder counts."""
    described = checkpoint.describe(folder / "checkpoint")
    return checkpoint.load(folder / "checkpoint"), described, content(folder / "files")


def test_a_checkpoint_and_files_go_to_another_folder(trial, tmp_path):
    (trial / "files" / "deep" / "er").mkdir(parents=True)
    (trial / "files" / "deep" / LONG).write_bytes(bytes(range(256)) * 99)
    (trial / "files" / "empty").touch()
    (trial / "files" / "run.sh").write_text("#!")
    (trial / "files" / "run.sh").chmod(0o700)
    out = tmp_path / "packs" / "one.tar"
    assert packs.pack(trial, out) == 4
    assert packs.job_of(out) == 4
    assert packs.unpack(out, tmp_path / "there") is True
    assert state(tmp_path / "there") == state(trial)
    assert (tmp_path / "there/files/deep/er").is_dir()
    assert (tmp_path / "there/files/run.sh").stat().st_mode & 0o100
    assert not (tmp_path / "there/files/own.txt").stat().st_mode & 0o100
    assert os.listdir(out.parent) == ["one.tar"]
    assert sorted(os.listdir(tmp_path / "there")) == ["checkpoint", "files"]


def test_a_folder_as_checkpoint(tmp_path):
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "x").write_text("x")
    trial = make(tmp_path / "trial", source, job=2)
    packs.pack(trial, tmp_path / "one.tar")
    packs.unpack(tmp_path / "one.tar", tmp_path / "there")
    loaded = checkpoint.load(tmp_path / "there" / "checkpoint")
    assert content(loaded) == content(source)
    assert loaded.is_relative_to(tmp_path / "there")


def test_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    trial = make(tmp_path / "trial", {"w": torch.arange(5)}, job=2)
    packs.pack(trial, tmp_path / "one.tar")
    packs.unpack(tmp_path / "one.tar", tmp_path / "there")
    assert torch.equal(checkpoint.load(tmp_path / "there" / "checkpoint")["w"], torch.arange(5))


def test_the_same_trial_is_the_same_bytes(trial, tmp_path):
    packs.pack(trial, tmp_path / "one.tar")
    os.utime(trial / "files" / "own.txt", (1, 1))
    packs.pack(trial, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_a_trial_without_a_checkpoint_is_no_pack(tmp_path):
    assert packs.pack(tmp_path / "none", tmp_path / "one.tar") is None
    (tmp_path / "trial" / "files").mkdir(parents=True)
    assert packs.pack(tmp_path / "trial", tmp_path / "one.tar") is None
    assert not (tmp_path / "one.tar").exists()


def test_a_checkpoint_of_no_known_job(tmp_path):
    trial = make(tmp_path / "trial", 1, job=None, resource=None)
    assert packs.pack(trial, tmp_path / "one.tar") == 0
    assert packs.unpack(tmp_path / "one.tar", tmp_path / "there")


def test_links_become_what_they_lead_to(trial, tmp_path):
    files = trial / "files"
    (files / "deep").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "huge").touch()
    for name, target in {
        "last": "own.txt",
        "deep/file": "../own.txt",
        "again": "deep",
        "deep/round": "..",
        "deep/self": ".",
        "data": str(tmp_path / "data"),
        "out": str(tmp_path / "data" / "huge"),
        "nothing": "none",
    }.items():
        (files / name).symlink_to(target)
    os.mkfifo(files / "fifo")
    here = socket.socket(socket.AF_UNIX)
    here.bind(os.path.relpath(files / "socket"))
    here.close()
    packs.pack(trial, tmp_path / "one.tar")
    packs.unpack(tmp_path / "one.tar", tmp_path / "there")
    found = content(tmp_path / "there" / "files")
    assert set(found) == {"again", "again/file", "deep", "deep/file", "last", "out", "own.txt"}
    assert found["last"] == found["again/file"] == found["deep/file"] == b"own"
    assert not any(path.is_symlink() for path in (tmp_path / "there").rglob("*"))


@pytest.mark.parametrize(
    ("here", "there", "done"),
    [
        ((4, 3.0), (5, 1.0), True),
        ((4, 3.0), (4, 3.0), True),
        ((4, 3.0), (4, 6.0), True),
        ((4, 3.0), (4, 1.0), False),
        ((4, 3.0), (4, None), False),
        ((4, 3.0), (3, 9.0), False),
        ((4, 3.0), (None, 9.0), False),
        ((None, None), (1, None), True),
    ],
)
def test_a_later_checkpoint_stays(tmp_path, here, there, done):
    folder = make(tmp_path / "here", "here", here[0], here[1], **{"here.txt": "h"})
    source = make(tmp_path / "source", "there", there[0], there[1], **{"there.txt": "t"})
    packs.pack(source, tmp_path / "one.tar")
    before = content(folder)
    assert packs.unpack(tmp_path / "one.tar", folder) is done
    assert state(folder) == (state(source) if done else state(tmp_path / "here"))
    assert (content(folder) == before) is not done
    assert (folder / "log.txt").read_text() == "a log"
    assert len(list((folder / "checkpoint").iterdir())) == 1
    assert sorted(os.listdir(folder)) == ["checkpoint", "files", "log.txt"]


def test_a_damaged_checkpoint_is_replaced(trial, tmp_path):
    packs.pack(trial, tmp_path / "one.tar")
    folder = make(tmp_path / "here", 1, job=9)
    (folder / "checkpoint" / "1" / "meta.json").write_text("{")
    assert packs.pack(folder, tmp_path / "two.tar") is None
    assert packs.unpack(tmp_path / "one.tar", folder)
    assert state(folder) == state(trial)


def test_what_lies_beside_the_checkpoints_stays(trial, tmp_path):
    packs.pack(trial, tmp_path / "one.tar")
    folder = make(tmp_path / "here", 1, job=1)
    (folder / "checkpoint" / "claim").write_text("9")
    packs.unpack(tmp_path / "one.tar", folder)
    assert (folder / "checkpoint" / "claim").read_text() == "9"


# What is refused


def hostile(name: str, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member


REASONS = "is no path below|is neither a file nor a folder|File exists|Not a directory"
HOSTILE = [
    hostile("/tmp/hbsim-out", size=3),
    hostile("../out", size=3),
    hostile("files/../../out", size=3),
    hostile("files/../log.txt", size=3),
    hostile("files/a/./b", size=3),
    hostile("files//b", size=3),
    hostile("log.txt", size=3),
    hostile("files", size=3),
    hostile("checkpoint", size=3),
    hostile("files/own.txt", size=3),  # twice
    hostile("files/own.txt/below", size=3),
    hostile("files/link", type=tarfile.SYMTYPE, linkname="/etc"),
    hostile("files/link", type=tarfile.LNKTYPE, linkname="files/own.txt"),
    hostile("files", type=tarfile.SYMTYPE, linkname="/tmp"),
    hostile("files/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    hostile("files/disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
    hostile("files/fifo", type=tarfile.FIFOTYPE),
]


@pytest.mark.parametrize("member", HOSTILE, ids=lambda member: f"{member.name}-{member.type.decode()}")
@pytest.mark.parametrize("fresh", [True, False])
def test_nothing_leads_out(trial, tmp_path, member, fresh):
    packs.pack(trial, tmp_path / "one.tar")
    evil = rewritten(tmp_path / "one.tar", before_end=member)
    folder = tmp_path / "there"
    if not fresh:
        make(folder, "old", job=1)
    before = content(tmp_path)
    with pytest.raises(OutputError, match=rf"evil\.tar: cannot be unpacked: .*({REASONS})"):
        packs.unpack(evil, folder)
    after = content(tmp_path)
    after.pop("there", None)
    before.pop("there", None)
    assert after == before
    assert not os.path.lexists("/tmp/hbsim-out")


def rewritten(file: Path, before_end: tarfile.TarInfo) -> Path:
    """Copy a pack with one member more, and an end that fits."""
    evil = file.with_name("evil.tar")
    digest = pack_tar.hashlib.sha256()
    with tarfile.open(file) as source, tarfile.open(evil, "w") as target:
        for member in source:
            data = source.extractfile(member).read() if member.isreg() else b""
            if member.name == "end.json":
                digest.update(pack_tar._line(before_end) + b"x" * before_end.size)
                target.addfile(before_end, io.BytesIO(b"x" * before_end.size))
                pack_tar._add_text(target, "end.json", {"sha256": digest.hexdigest()})
                break
            if member.name != "pack.json":
                digest.update(pack_tar._line(member) + data)
            target.addfile(member, io.BytesIO(data))
    return evil


def test_a_harmless_member_more_is_not_refused(trial, tmp_path):
    """So it is the members that the test above refuses, not the file."""
    packs.pack(trial, tmp_path / "one.tar")
    evil = rewritten(tmp_path / "one.tar", before_end=hostile("files/more", size=3))
    assert packs.unpack(evil, tmp_path / "there")
    assert (tmp_path / "there/files/more").read_text() == "xxx"


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 1, exclude_max=True), flip=st.booleans())
def test_a_torn_or_changed_pack_changes_nothing(tmp_path_factory, cut, flip):
    base = tmp_path_factory.mktemp("torn")
    packs.pack(make(base / "trial", {"w": "x" * 600}, job=4), base / "one.tar")
    folder = make(base / "there", "old", job=1)
    before = content(folder)
    data = bytearray((base / "one.tar").read_bytes())
    with tarfile.open(base / "one.tar") as tar:
        last = tar.getmembers()[-1]
    at = int(cut * (last.offset_data + last.size))
    if flip:
        data[at] ^= 0x55
    else:
        del data[at:]
    (base / "one.tar").write_bytes(data)
    try:
        packs.unpack(base / "one.tar", folder)
    except OutputError:
        assert content(folder) == before
    else:  # a bit that says nothing: of padding, an owner, a time
        assert flip
        assert state(folder) == state(base / "trial")


@pytest.mark.parametrize("name", ["empty", "text", "other"])
def test_what_is_no_pack(tmp_path, name):
    file = tmp_path / "one.tar"
    file.write_bytes(b"" if name == "empty" else b"hello" * 999)
    if name == "other":
        with tarfile.open(file, "w") as tar:
            pack_tar._add_text(tar, "other.json", {})
    for read in (lambda: packs.unpack(file, tmp_path / "there"), lambda: packs.job_of(file)):
        with pytest.raises(OutputError, match=r"one\.tar: cannot be"):
            read()
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    "head",
    [{"version": 2, "job": 1, "resource": 1}, {"version": 1, "job": "1", "resource": 1}, {"version": 1}, []],
)
def test_heads_of_other_kinds(tmp_path, head):
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        pack_tar._add_text(tar, "pack.json", head)
    with pytest.raises(OutputError):
        packs.job_of(tmp_path / "one.tar")


def test_a_head_that_claims_a_later_job(trial, tmp_path):
    with open(tmp_path / "one.tar", "wb"):
        pass
    (tmp_path / "one.tar").unlink()
    newest = trial / "checkpoint" / "1"
    pack_tar.write(tmp_path / "one.tar", newest, trial / "files", {"job": 99, "resource": 3.0})
    with pytest.raises(OutputError, match="its head is not that of its checkpoint"):
        packs.unpack(tmp_path / "one.tar", tmp_path / "there")


def test_a_pack_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        packs.unpack(tmp_path / "none.tar", tmp_path / "there")


# Interruptions


def fork_dies(call, after: int) -> bool:
    """Call in a fork of this process, which dies at a change of the disk; return whether it did."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = after

    def dying(function):
        def do(*args, **options):
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            return function(*args, **options)

        return do

    for name in ("rename", "fsync", "mkdir", "rmdir", "unlink"):
        setattr(os, name, dying(getattr(os, name)))
    try:
        call()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of forks, from Python 3.12 on
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("twice", [False, True])
def test_an_interruption_at_any_point_leaves_the_old_one_or_the_new(trial, tmp_path, monkeypatch, old, twice):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # this machine stays on
    packs.pack(trial, tmp_path / "one.tar")
    new = state(trial)
    seen = set()
    for after in range(200):
        folder = tmp_path / f"there{after}"
        before = state(make(folder, "old", job=1, **{"old.txt": "o"}) if old else folder)
        died = fork_dies(lambda folder=folder: packs.unpack(tmp_path / "one.tar", folder), after)
        if twice:  # and again while it is put in order
            fork_dies(lambda folder=folder: packs.recover(folder), after % 5)
        counts = checkpoint.describe(folder / "checkpoint")
        packs.recover(folder) if folder.exists() else None
        assert checkpoint.describe(folder / "checkpoint") == counts
        left = state(folder)
        assert left in (before, new)
        seen.add(left == new)
        assert not {".unpack", ".unpack.part"} & set(os.listdir(folder) if folder.exists() else ())
        assert packs.unpack(tmp_path / "one.tar", folder)
        assert state(folder) == new
        if not died:
            break
    assert not died
    assert seen == {False, True}
    assert after > 20


def test_a_failure_to_put_in_place_is_undone(trial, tmp_path, monkeypatch):
    packs.pack(trial, tmp_path / "one.tar")
    folder = make(tmp_path / "there", "old", job=1)
    before = content(folder)
    rename = os.rename

    def failing(source, target):
        if Path(target).parent.name == "checkpoint":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OutputError, match="cannot be unpacked: No space left on device"):
        packs.unpack(tmp_path / "one.tar", folder)
    assert content(folder) == before


def test_a_pack_that_cannot_be_written_leaves_the_one_before(trial, tmp_path, monkeypatch):
    packs.pack(trial, tmp_path / "one.tar")
    before = (tmp_path / "one.tar").read_bytes()
    (trial / "files" / "secret").write_text("")
    monkeypatch.setattr(
        pack_tar, "_add", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OutputError, match="No space left"):
        packs.pack(trial, tmp_path / "one.tar")
    assert (tmp_path / "one.tar").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["one.tar", "trial"]
