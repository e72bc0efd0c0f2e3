"""Readers of what a study is and what it left: TOML files, commands, journals, states, spaces, folders."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import tomllib
import zlib
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import polars as pl

import hbsim
from hbsim.bench.charts import task_charts, variant_styles
from hbsim.bench.report.build import build
from hbsim.bench.report.render import latex, markdown
from hbsim.bench.sweep.folder import read_results
from hbsim.bench.sweep.plan import read_sweep
from hbsim.core import Failure, Report, make_scheduler
from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.errors import ProtocolError
from tests.fuzz.mutate import ODD_NUMBERS, ODD_TEXTS, altered, few, mutated, odd, rewritten
from tests.fuzz.readers_curves import _OBJECTS, Given, frame
from tests.fuzz.run import Unclear, emptied

# TOML files

SWEEP: Final = """\
title = "fuzz"
seeds = 2
workers = [1, 4]
[defaults]
num_trials = 5
grace_period = 1
[[variants]]
name = "stop"
type = "stopping"
vary = {brackets = [1, 2], reduction_factor = [2, 3.5]}
[[variants]]
type = "promotion"
searcher = "random"
[[surrogates]]
surrogate = "synthetic:mode=min,max_resource=9"
name = "syn"
group = "a"
[[surrogates]]
surrogate = "curves.csv"
metric = "val_loss"
mode = "min"
[[clusters]]
name = "slow"
straggler_std = 0.5
startup = "lognormal:mean=5,std=2"
"""


def _toml(text: str, rng: Random) -> str:
    """Change a file's text, or what it says."""
    if rng.random() < 0.5:
        return rewritten(text, rng)
    try:
        return _as_toml(altered(tomllib.loads(text), rng))
    except ValueError:
        return rewritten(text, rng)


def _as_toml(content: Any) -> str:
    if not isinstance(content, dict):
        return str(content)
    lines = [f"{_key(name)} = {_value(value)}" for name, value in content.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "''" if value is None else repr(value)


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


class SweepToml:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "study.toml"
        (folder / "curves.csv").write_text(frame().write_csv())

    def case(self, rng: Random) -> bytes:
        text = _toml(SWEEP, rng)
        return (
            mutated(text.encode("utf-8", "replace"), rng)
            if rng.random() < 0.1
            else text.encode("utf-8", "replace")
        )

    def read(self, given: bytes) -> None:
        self.path.write_bytes(given)
        read_sweep(self.path).manifest()


class ClusterToml:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        presets = Path(hbsim.__file__).parent / "simulation" / "presets"
        self.texts = [path.read_text("utf-8") for path in sorted(presets.glob("*.toml"))]
        self.texts.append('trace = "trace.csv"\nnotice = 5\n')
        self.texts.append(
            'workers = 3\nschedule = [[0, 3], [50, 1], [90, 2]]\nreport = "async"\n'
            'mtbf = "weibull:mean=50,shape=2"\nmttr = 5\n'
        )
        self.trace = "worker,start,end,state\n" + "".join(
            f"w{w},{t},{t + 10},{s}\n"
            for w in range(3)
            for t, s in ((0, "up"), (10, "preempted"), (20, "up"))
        )

    def case(self, rng: Random) -> tuple[bytes, bytes, float | None]:
        text, trace = rng.choice(self.texts), self.trace
        if "trace.csv" in text and rng.random() < 0.7:
            trace = rewritten(trace, rng)
        else:
            text = _toml(text, rng)
        content = text.encode("utf-8", "replace")
        content = mutated(content, rng) if rng.random() < 0.1 else content
        return content, trace.encode("utf-8", "replace"), rng.choice((None, 2000.0))

    def read(self, given: tuple[bytes, bytes, float | None]) -> None:
        path = self.folder / "cluster.toml"
        path.write_bytes(given[0])
        (self.folder / "trace.csv").write_bytes(given[1])
        cluster = hbsim.Cluster.from_file(path)
        if cluster.workers > 5000:
            return
        scheduler = make_scheduler("promotion", max_t=9, num_trials=6, retries=1)
        result = hbsim.simulate(scheduler, "synthetic", cluster=cluster, max_time=given[2])
        result.summary()


# Commands

WORDS: Final = {
    "simulate": (
        *(("--scheduler", "promotion"), ("--surrogate", "synthetic"), ("--trials", "5"), ("--workers", "2")),
        *(
            ("--brackets", "2"),
            ("--eta", "3"),
            ("--max-t", "9"),
            ("--seed", "1"),
            ("--max-time", "50"),
            ("--json",),
        ),
        *(
            ("--cluster", "c.toml"),
            ("--speed", "1,2"),
            ("--startup", "lognormal:mean=5,std=2"),
            ("--explain", "1"),
        ),
        *(
            ("--searcher", "tpe"),
            ("--search-option", "gamma=0.2"),
            ("--wrap", "noise:std=0.1"),
            ("--mode", "min"),
        ),
        *(("--surrogate", "curves.csv", "--metric", "val_loss", "--mode", "min"), ("--grace-period", "2")),
    ),
    "compare": (
        *(
            ("--variant", "stopping"),
            ("--variant", "promotion"),
            ("--surrogate", "synthetic"),
            ("--trials", "4"),
        ),
        *(
            ("--seeds", "2"),
            ("--workers", "2"),
            ("--vary", "brackets=1,2"),
            ("--max-time", "20"),
            ("--json",),
        ),
        *(("--seeds", "1..2"), ("--out", "out"), ("--force",), ("--max-t", "9"), ("--target", "0.5")),
    ),
    "sweep": (
        ("study.toml",),
        ("--dry-run",),
        ("--out", "folder"),
        ("--jobs", "1"),
        ("--force",),
        ("--json",),
    ),
    "report": (
        ("folder",),
        ("--out", "p.html"),
        ("--figures", "f"),
        ("--tables", "t"),
        ("--force",),
        ("--json",),
    ),
    "surrogates": (
        *(
            ("curves.csv",),
            ("digits",),
            ("--metric", "val_loss"),
            ("--mode", "min"),
            ("--json",),
            ("synthetic",),
        ),
        *(
            ("import", "logged"),
            ("--out", "x.parquet"),
            ("--kind", "ray"),
            ("--first-level", "0"),
            ("yahpo:x/y",),
        ),
    ),
    "clusters": (("c.toml",), ("a100-t4",), ("--json",), ("--write", "x.toml")),
    "run": (
        ("no.py:f",),
        ("--resume",),
        ("--out", "study"),
        ("--trials", "3"),
        ("--workers", "2"),
        ("--grace", "1"),
    ),
    "record": (("no.py:f",), ("--trials", "3"), ("--out", "x.parquet"), ("--workers", "2"), ("--max-t", "3")),
    "validate": (("study",), ("--json",), ("--out", "v"), ("--surrogate", "curves.csv")),
}


class Commands:
    """Command lines; those that would run trials for real name no function."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def case(self, rng: Random) -> list[str]:
        name = rng.choice(list(WORDS))
        parts = list(rng.sample(WORDS[name], rng.randint(0, min(8, len(WORDS[name])))))
        if name == "simulate":
            parts = [*WORDS[name][:3], *(p for p in parts if p not in WORDS[name][:3])]
        elif name == "compare":
            parts = [*WORDS[name][:6], *(p for p in parts if p not in WORDS[name][:6])]
        words = [name, *(word for part in parts for word in part)]
        for _ in range(few(rng) if rng.random() < 0.8 else 0):
            place, kind = rng.randrange(len(words)), rng.randrange(6)
            if kind < 3:
                new = str(odd(rng, 0)) if kind else rewritten(words[place], rng)
                words[place] = new.replace("\x00", "").encode("utf-8", "replace").decode()
            elif kind == 3:
                words.insert(place, rng.choice([w for parts in WORDS[name] for w in parts]))
            elif kind == 4:
                del words[place]
            else:
                words.append(rng.choice(("--help", "--nothing", "-x", "--", "", "=")))
            words = words or [name]
        return words

    def read(self, given: list[str]) -> None:
        from hbsim.cli.main import main

        emptied(self.folder / "here")
        with contextlib.chdir(self.folder / "here"):
            Path("curves.csv").write_text(frame().write_csv())
            Path("c.toml").write_text("workers = 2\n")
            Path("study.toml").write_text(SWEEP)
            out, err, argv = io.StringIO(), io.StringIO(), sys.argv
            sys.argv = ["hbsim", *given]
            try:
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    main()
            except SystemExit as end:
                code = end.code
            finally:
                sys.argv = argv
        if code not in (0, 1, 2):
            raise Unclear(f"exit code {code}: {err.getvalue()[-1000:]}")
        errors = [line for line in err.getvalue().splitlines() if line.startswith("hbsim: error: ")]
        if "Traceback" in err.getvalue() or len(errors) != (code != 0):
            raise Unclear(f"exit code {code}, printed {err.getvalue()[-2000:]!r}")
        if errors:
            raise hbsim.errors.HbsimError(errors[0])


# Journals


class Journals:
    """A study's folder whose journal is cut or changed, or edited with checksums that fit."""

    def __init__(self, folder: Path) -> None:
        from tests.study.made import Made

        self.folder = folder / "study"
        self.contents = []
        kinds = {
            "promotion": {"brackets": 2},
            "stopping": {},
            "hyperband": {},
            "pasha": {},
            "median": {"retries": 1},
        }
        for kind, options in kinds.items():
            made = Made(folder / kind, kind, num_trials=9, max_t=9, **options)
            made.play(
                3, lambda trial, epoch: (trial * 37 % 11) / 11 + epoch / 50, lambda t, r: t == 4 and r == 2
            )
            made.result()
            self.contents.append(made.study_folder.journal.read_bytes())

    def case(self, rng: Random) -> bytes:
        content = rng.choice(self.contents)
        if rng.random() < 0.3:
            return mutated(content, rng)
        lines = content.splitlines()
        for _ in range(few(rng)):
            place, kind = rng.randrange(len(lines)), rng.randrange(10)
            if kind == 0:
                del lines[place]
            elif kind == 1:
                lines.insert(rng.randrange(len(lines)), lines[place])
            elif kind == 2:
                del lines[place:]
            else:
                lines[place] = _edited(lines[place], rng)
            lines = lines or [b"x"]
        if rng.random() < 0.5:
            lines = [_renumbered(line, number) for number, line in enumerate(lines)]
        return b"\n".join(lines) + b"\n"

    def read(self, given: bytes) -> None:
        emptied(self.folder)
        (self.folder / "journal.jsonl").write_bytes(given)
        result = hbsim.load(self.folder)
        result.summary()
        for table in (
            result.jobs,
            result.trials,
            result.decisions,
            result.reports,
            result.hosts,
            result.configurations,
        ):
            assert isinstance(table, pl.DataFrame)
        result.incumbent(), result.rungs(), result.failures, repr(result)
        result.write()


def _edited(line: bytes, rng: Random) -> bytes:
    found = _record(line)
    if found is None:
        return mutated(line, rng)
    number = found.pop("n", 0)
    changed = altered(found, rng, 2)
    return _sealed(number, changed if isinstance(changed, dict) else {"e": changed})


def _renumbered(line: bytes, number: int) -> bytes:
    found = _record(line)
    return line if found is None else _sealed(number, {k: v for k, v in found.items() if k != "n"})


def _record(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, without its checksum."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return {k: v for k, v in found.items() if k != "crc"} if isinstance(found, dict) else None


def _sealed(number: int, record: dict[str, Any]) -> bytes:
    """Return a line with the checksum that its bytes have."""
    body = json.dumps({"n": number, **record}, separators=(",", ":"))[:-1].encode()
    return b'%b,"crc":"%08x"}' % (body, zlib.crc32(body))


# States

LEVELS: Final[dict[str, Any]] = {"max_t": 27, "grace_period": 1, "reduction_factor": 3}
SCHEDULERS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("stopping", LEVELS | {"brackets": 3}),
    ("stopping", LEVELS | {"brackets": 2, "shared_rungs": True, "rule": "rank"}),
    ("promotion", LEVELS | {"brackets": 2}),
    ("promotion", LEVELS | {"keep_size_ratios": True, "failed_places": "held", "straight_on": False}),
    ("promotion", LEVELS | {"num_trials": 30, "brackets": 2, "shared_rungs": True}),
    ("sha", LEVELS | {"n": 9}),
    ("sha", LEVELS | {"n": 9, "quota": "nominal", "overlap": True, "num_trials": 40}),
    ("hyperband", {"max_t": 9, "grace_period": 1, "reduction_factor": 3}),
    ("hyperband", {"max_t": 9, "grace_period": 1, "reduction_factor": 3, "overlap": True}),
    ("pasha", LEVELS),
    ("pasha", LEVELS | {"epsilon": 0.05}),
    ("median", {"max_t": 9, "grace_period": 1, "interval": 2}),
    ("median", {"max_t": 9, "grace_period": 1, "interval": 2, "among": "recorded"}),
    ("fifo", {"max_t": 9}),
)


def drive(scheduler: Any, rng: Random, steps: int, workers: int = 4) -> None:
    """Use a scheduler, whatever it is told that it does not take."""
    running = {job.trial: job for job in scheduler.running_jobs()}
    for _ in range(steps):
        if len(running) < workers and rng.random() < 0.6:
            job = scheduler.ask()
            if job is not None:
                running[job.trial] = job
        elif running:
            trial = rng.choice(list(running))
            job = running[trial]
            value = rng.choice((rng.random(), rng.random(), 0.5, None, float("nan")))
            event: Any = Failure(trial, job.start, "error", "no") if rng.random() < 0.15 else None
            try:
                decision = scheduler.tell(
                    event or Report(trial, rng.choice((job.stop, job.stop, job.start)), value)
                )
            except ProtocolError:  # a job that has reported beyond this
                decision = scheduler.tell(Report(trial, job.stop * 100, value))
            if decision.verdict.value != "continue":
                del running[trial]
            else:
                running[trial] = job._replace(stop=decision.stop)
        if rng.random() < 0.1:
            scheduler.dropped()
    for trial in range(scheduler.started):
        scheduler.explain(trial)
    scheduler.dropped(), scheduler.done, scheduler.trial_levels(), scheduler.status_counts(), repr(scheduler)


class States:
    def __init__(self, folder: Path) -> None:
        self.states = []
        for kind, options in SCHEDULERS:
            for seed in range(3):
                scheduler = make_scheduler(kind, **options, retries=1)
                drive(scheduler, Random(seed), (0, 40, 300)[seed])
                self.states.append((kind, options, json.loads(json.dumps(scheduler.state_dict()))))

    def case(self, rng: Random) -> tuple[str, dict[str, Any], Any, int]:
        kind, options, state = rng.choice(self.states)
        if rng.random() < 0.01:
            return kind, options, rng.choice((odd(rng), [], None)), 0
        part = dict(state) if rng.random() < 0.5 else {"extra": state["extra"]}
        changed = altered(part, rng)
        new = {**state, **changed} if isinstance(changed, dict) else changed
        return kind, options, new, rng.randrange(1 << 30)

    def read(self, given: tuple[str, dict[str, Any], Any, int]) -> None:
        kind, options, state, seed = given
        scheduler = make_scheduler(kind, **options, retries=1)
        before = json.dumps(scheduler.state_dict())
        try:
            scheduler.load_state_dict(state)
        except hbsim.errors.HbsimError:
            assert json.dumps(scheduler.state_dict()) == before
            raise
        for trial in range(scheduler.started):
            scheduler.explain(trial)
        json.dumps(scheduler.state_dict(), allow_nan=False)
        drive(scheduler, Random(seed), 200, scheduler.running + 4)
        copy = make_scheduler(kind, **options, retries=1)
        copy.load_state_dict(json.loads(json.dumps(scheduler.state_dict(), allow_nan=False)))


# Spaces


class Spaces:
    def __init__(self, folder: Path) -> None:
        lr, act = Real(1e-4, 1.0, log=True), Choice("relu", "tanh", None)
        self.space = Space({"lr": lr, "act": act, "n": Int(1, 9, when={"act": "relu"}), "b": Bool()})

    def case(self, rng: Random) -> Given:
        kind = rng.randrange(5)
        if kind == 0:
            value: Any = rng.choice(_OBJECTS)() if rng.random() < 0.5 else odd(rng)
        elif kind == 1:
            names = rng.choices(("lr", "n", "act", *ODD_TEXTS, 1, None, ("a",)), k=rng.randrange(4))
            value = {name: self.parameter(rng) for name in names}
        else:
            value = altered(self.space.to_json(), rng)
        return Given((kind, value, rng.randrange(1 << 30)))

    def parameter(self, rng: Random) -> Any:
        strange = [rng.choice((*ODD_NUMBERS, *ODD_TEXTS, None, True, [], {}, (), b"")) for _ in range(6)]
        if rng.random() < 0.3:
            strange[0], strange[1] = 1, 5
        when = (
            None
            if rng.random() < 0.5
            else rng.choice(({"lr": strange[4]}, {"act": ("relu", 1)}, strange[5], {}))
        )
        more = {} if when is None else {"when": when}
        kind = rng.randrange(5)
        try:
            if kind < 2:
                return rng.choice((Real, Int))(*strange[: rng.choice((2, 2, 3))], **more)
            if kind == 2:
                return Choice(*strange[: rng.randrange(4)], **more)
            if kind == 3:
                return Bool(**more)
        except hbsim.errors.HbsimError:
            pass
        return rng.choice(strange)

    def read(self, given: Given) -> None:
        kind, value, seed = given.value
        space = Space(value) if kind < 2 else Space.from_json(value)
        points = space.sample(5, np.random.default_rng(seed))
        space.decode(points), hash(space), repr(space), space.defaults, space.active(points)
        for one in space.mappings(points):
            space.mapping(space.encode(one))
        if kind > 1:
            Space.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False)))


# Sweep folders


class SweepFolders:
    """A finished sweep, or one under way, some of whose files are damaged or changed."""

    def __init__(self, folder: Path) -> None:
        from tests.bench.sweep.made import SMALL, read, run

        whole, parts = folder / "whole", folder / "parts"
        text = SMALL.replace("seeds = 3", "seeds = 2").replace("workers = [1, 4]", "workers = [2]")
        run(read(folder / "file", text), whole)
        self.folder, self.whole = folder / "copy", whole
        from hbsim.bench.sweep.store import KEY, MAIN, TABLES, SweepStore

        store = SweepStore(whole)
        keys = list(store.status)
        emptied(parts)
        for name in ("sweep.json", "sweep.toml", "plan.parquet"):
            shutil.copy(whole / name, parts / name)
        tables = store.tables(keys)
        split = SweepStore(parts)
        for key in keys[:3]:
            split.add({name: tables[name].filter(pl.col(KEY) == key) for name in TABLES})
        assert MAIN in tables
        self.variants = [
            {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}
            for place in (whole, parts)
        ]

    def case(self, rng: Random) -> dict[str, bytes]:
        valid = rng.choice(self.variants)
        files = dict(valid)
        for _ in range(few(rng, 2)):
            name = rng.choice([n for n in files if n != "lock"])
            if name.endswith(".json") and rng.random() < 0.9:
                files[name] = json.dumps(altered(json.loads(valid[name]), rng)).encode("utf-8", "replace")
            elif rng.random() < 0.05:
                files.pop(name)
                break
            elif name.endswith(".parquet") and rng.random() < 0.4:
                files[name] = _other_rows(valid[name], rng)
            else:
                files[name] = mutated(files[name], rng)
        return files

    def read(self, given: dict[str, bytes]) -> None:
        emptied(self.folder)
        for name, content in given.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)
        report = build(read_results(self.folder), "hbsim report", "folder")
        markdown(report)
        latex(report)
        # What is drawn from charts takes more room for addresses than a case has.
        for task in report.tasks:
            for chart in task_charts(task, variant_styles(report.variants)).values():
                chart.to_dict()


def _other_rows(content: bytes, rng: Random) -> bytes:
    """Return a table of the same columns, or nearly, with values changed."""
    table = pl.read_parquet(io.BytesIO(content))
    for _ in range(few(rng)):
        if not table.width or not table.height:
            break
        name, kind = rng.choice(table.columns), rng.randrange(5)
        values = table[name].to_list()
        if kind == 0:
            table = table.head(rng.randrange(table.height))
        elif kind == 1:
            table = pl.concat([table, table.sample(1, seed=1)])
        elif kind == 2:
            table = table.drop(name)
        else:
            values[rng.randrange(len(values))] = rng.choice((None, odd(rng, 0), values[-1]))
            with contextlib.suppress(Exception):
                table = table.with_columns(pl.Series(name, values, dtype=table[name].dtype, strict=False))
    file = io.BytesIO()
    table.write_parquet(file)
    return file.getvalue()
