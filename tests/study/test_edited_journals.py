"""Journals that were edited, with a checksum that is right: a study, or an error that names the line.

More of them: ``python -m tests.study.test_edited_journals COUNT [SEED]``.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

import hbsim
import hbsim.runner.journal_reader
from hbsim.cli.main import main
from hbsim.core.space import Choice, Real, Space
from hbsim.errors import HbsimWarning, JournalError, ParameterError
from hbsim.runner.journal import encode
from hbsim.runner.journal_reader import MANY, read_records, start_of
from hbsim.runner.loop import SearcherNotifier
from hbsim.searchers import SearchTask, make_searcher
from hbsim.study.folder import JOURNAL, StudyFolder
from hbsim.study.spec import StudySpec, new_state, replay
from hbsim.validation.measure import read
from tests.doubles.fake_hosts import Absence, Host
from tests.doubles.fake_trials import Fault
from tests.profile import examples
from tests.runner.studies import Run, small

SPACE = Space({"lr": Real(1e-4, 1.0, log=True), "act": Choice("relu", "tanh")})
FAULTS = [Fault(1, "twice", 0), Fault(2, "error", 1), Fault(4, "error", 2)]
HOSTS = [Host(2), Host(1, 0.5, (Absence(3.0, 12.0, 5.0, 0.0, True, False),))]

# What stands in the place of something; of text and bytes some that JSON has, and few would write.
ODD: list[Any] = [
    None, True, -1, 0, 1, 3, 0.5, -0.0, 1e300, 2**31, 2**63, 10**30, 10**400, -(10**25), "", "x", "1",
    "\ud800", "\x1b[2J", [], [[]], [1, 2], {}, {"x": 1}, [None], [[1, 2, 3, {}]],
    [[0.0, 0.0, 1, {"value": "x"}]],
    [[1e9, 1.0, 2.0, {"value": None}]], "continue", "pause", "stop", "complete", "retry", "rows", "gone",
]  # fmt: skip
RAW = [b"NaN", b"Infinity", b"1e999", b"-1e999", b"01", b"1.", b"[" * 3000, b"9" * 5000, b"{", b'"\\ud800"']
MARK = "here stands a raw text"


def studies() -> Iterator[list[dict[str, Any]]]:
    """Yield the records of studies: with failures, hosts that come and go, and an interruption."""
    for kind, more in (
        ("stopping", {"faults": FAULTS, "retries": 1}),
        ("promotion", {"faults": FAULTS, "retries": 1, "hosts": HOSTS}),
        ("hyperband", {}),
    ):
        study = small(kind, trials=9, workers=3, **more)
        records = study.run().records
        cut = Run(study, records[: len(records) // 2], saved={}).go().records
        options = {**study.run().scheduler.options.as_dict()}
        names = ("epoch", "value", False, {"batch": 3})
        spec = StudySpec("train.py:train_fn", "0" * 64, SPACE, options, 3, "random", *names)
        header = {"n": 0, "e": "study", "version": 1, "spec": spec.as_dict()}
        made: list[dict[str, Any]] = [header, *copy.deepcopy(cut[1:])]
        for record in made:
            if "point" in record:
                record["point"] = [record["trial"] / 10, 0.25]
        yield made


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every part of a record."""
    if path:
        yield path
    for key, part in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(part, (*path, key))


def edited(rng: random.Random, records: list[dict[str, Any]]) -> bytes:
    """Return a journal with something changed in one of its records, and with checksums that are right."""
    records = [{name: part for name, part in one.items() if name != "n"} for one in copy.deepcopy(records)]
    number, raw = rng.choice([0, rng.randrange(len(records)), rng.randrange(len(records))]), b""
    how = rng.randrange(12)
    if how == 0:
        del records[number]
    elif how == 1:
        records.insert(number, records[number])
    elif how == 2:
        other = rng.randrange(len(records))
        records[number], records[other] = records[other], records[number]
    else:
        raw = changed(rng, records[number])
    return b"".join(_line(place, one, raw) for place, one in enumerate(records))


def changed(rng: random.Random, record: dict[str, Any]) -> bytes:
    """Change a part of a record; return what stands there in the text in place of `MARK`."""
    *way, last = rng.choice(list(places(record)))
    parent: Any = record
    for key in way:
        parent = parent[key]
    how = rng.randrange(9)
    if how == 0:
        del parent[last]
    elif how == 1 and isinstance(parent, dict):
        parent[rng.choice(["x", "trial", "worker", "jobs", "rows", "reports", "point"])] = rng.choice(ODD)
    elif how == 2:
        parent[last] = MARK
        return rng.choice(RAW)
    elif how < 5 and type(parent[last]) in (int, float):
        parent[last] += rng.choice([-1, 1, 0.5, 100])
    else:
        parent[last] = copy.deepcopy(rng.choice(ODD))
    return b""


def _line(number: int, record: dict[str, Any], raw: bytes) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    body = b'{"n":%d,%b' % (number, text[1:-1])
    body = body.replace(b'"%b"' % MARK.encode(), raw or b"0")
    return b'%b,"crc":"%08x"}\n' % (body, crc32(body))


def use(folder: Path) -> None:
    """Do all that reads a study."""
    result = hbsim.load(folder)
    for frame in (result.jobs, result.trials, result.decisions, result.reports, result.configurations):
        assert frame.height >= 0
    result.hosts, result.incumbent(), result.incumbent("max_t"), result.rungs(), result.failures
    result.summary(), result.best_config, repr(result)
    result.write()
    study_folder = StudyFolder(folder)
    records = read_records(study_folder.journal, together=True)
    spec = StudySpec.from_dict(start_of(records).spec, str(study_folder.journal))
    task = SearchTask(spec.space, spec.seed, mode=result.scheduler.mode, max_t=result.scheduler.options.max_t)
    state = new_state(spec, spec.make_scheduler())
    notifier = SearcherNotifier(make_searcher("random", task, None), state.scheduler)
    replay(state, records, str(study_folder.journal), notifier, spec.space.dimension)
    with contextlib.suppress(ParameterError):  # nothing was decided in it
        read(folder)


def outcome(folder: Path, journal: bytes) -> str:
    """Return "read", or "refused" with an error that names a line; anything else is raised."""
    (folder / JOURNAL).write_bytes(journal)
    refused: JournalError | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        try:
            use(folder)
        except JournalError as error:
            refused = error
    if refused is None:
        return "read"
    assert f"line {refused.line}:" in str(refused)
    assert 1 <= refused.line <= journal.count(b"\n") + 1
    assert "\n" not in str(refused)
    return "refused"


@pytest.mark.parametrize("seed", range(3))
def test_edited_journals(tmp_path, seed, monkeypatch):
    """Reports are read one by one, and as columns."""
    made, rng = list(studies())[seed], random.Random(seed)
    whole = b"".join(encode(n, {k: v for k, v in r.items() if k != "n"}) for n, r in enumerate(made))
    assert outcome(tmp_path, whole) == "read"
    for many in (1, MANY):
        monkeypatch.setattr(hbsim.runner.journal_reader, "MANY", many)
        seen = [outcome(tmp_path, edited(rng, made)) for _ in range(examples(40, 15))]
        assert set(seen) == {"read", "refused"}


def test_a_configuration_has_a_number_for_each_parameter(tmp_path):
    made = next(studies())
    place = next(n for n, record in enumerate(made) if "point" in record)
    made[place]["point"].append(0.5)
    (tmp_path / JOURNAL).write_bytes(b"".join(_line(n, record, b"") for n, record in enumerate(made)))
    rule = f"line {place + 1}: a configuration of 3 parameters, where the space has 2;"
    with pytest.raises(JournalError, match=rule):
        use(tmp_path)


@pytest.mark.parametrize("command", ["run --resume --out", "validate"])
def test_commands_say_it_in_a_line(tmp_path, monkeypatch, capsys, command):
    made = next(studies())
    made[3] = {**made[3], "t": "late"}
    (tmp_path / JOURNAL).write_bytes(b"".join(_line(n, record, b"") for n, record in enumerate(made)))
    monkeypatch.setattr(sys, "argv", ["hbsim", *command.split(), str(tmp_path)])
    if command != "validate":  # the training function is asked for first
        script = tmp_path.parent / f"{tmp_path.name}.py"
        script.write_text(SCRIPT, "utf-8")
        sys.argv[2:2] = [f"{script}:train_fn"]
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    says = f"hbsim: error: {tmp_path / JOURNAL}, line 4: t='late': Input should be a valid number; "
    assert capsys.readouterr().err.splitlines()[-1].startswith(says)


SCRIPT = """
import hbsim

@hbsim.args(lr=hbsim.Real(1e-4, 1.0, log=True), act=hbsim.Choice("relu", "tanh"), batch=3)
def train_fn(args, reporter):
    reporter(epoch=1, value=0.5)
"""

if __name__ == "__main__":
    import traceback
    from collections import Counter

    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    all_, found, rng = list(studies()), Counter(), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(count):
            hbsim.runner.journal_reader.MANY = rng.choice([1, MANY])
            journal = edited(rng, rng.choice(all_))
            try:
                found[outcome(Path(folder), journal)] += 1
            except BaseException as error:
                key = f"{type(error).__name__}: {traceback.extract_tb(error.__traceback__)[-1]}"
                found[key] += 1
                if found[key] == 1:
                    traceback.print_exc()
                if isinstance(error, KeyboardInterrupt):
                    raise
    for key, times in found.most_common():
        print(times, key)
