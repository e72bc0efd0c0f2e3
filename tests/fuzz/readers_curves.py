"""Readers of recorded curves: CSV, Parquet, .npz, what other tools logged, YAHPO's folder, objects."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl

import hbsim
from hbsim.core import make_scheduler
from hbsim.core.space import Choice, Int, Real, Space
from hbsim.surrogates import describe, load
from hbsim.surrogates.importing import import_runs
from tests.fuzz.mutate import ODD_NUMBERS, ODD_TEXTS, altered, few, mutated, odd, rewritten
from tests.fuzz.run import emptied

IMPORTS: Final = Path(__file__).parents[1] / "surrogates" / "imports"


def frame(rows: int = 6, levels: int = 5) -> pl.DataFrame:
    """Return curves in long form."""
    rng = np.random.default_rng(0)
    config, epoch = np.repeat(np.arange(rows), levels), np.tile(np.arange(1, levels + 1), rows)
    acts = rng.choice(["relu", "tanh", "elu"], rows)
    return pl.DataFrame(
        {
            "config": config,
            "epoch": epoch,
            "val_loss": rng.random(rows * levels) + 1 / epoch,
            "test_loss": rng.random(rows * levels),
            "seconds": epoch * (1.0 + config),
            "lr": np.repeat(rng.random(rows), levels),
            "layers": np.repeat(rng.integers(1, 4, rows), levels),
            "act": np.repeat(acts, levels),
        }
    )


def used(surrogate: Any) -> None:
    """Use a surrogate as a simulated study does."""
    describe(surrogate)
    rows = np.arange(min(surrogate.rows or 0, 3))
    points = rows if surrogate.rows is not None else np.full((2, surrogate.space.dimension), 0.5)
    levels = np.array((surrogate.resources or (surrogate.max_resource,))[-2:], dtype=np.float64)
    surrogate.evaluate(points, levels)
    surrogate.optimum(levels[-1])
    surrogate.test_values(points, levels[-1])
    getattr(surrogate, "points", None)
    options = {"max_t": surrogate.max_resource, "grace_period": levels[0], "mode": surrogate.mode}
    scheduler = make_scheduler("promotion", **options, resource_type="float")
    scheduler.limit_trials(min(surrogate.rows or 3, 3))
    hbsim.simulate(scheduler, surrogate, workers=2).summary()


class _Curves:
    """A file of curves, and the options of `load`."""

    suffix: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / f"curves{self.suffix}"

    def options(self, rng: Random) -> dict[str, Any]:
        options: dict[str, Any] = {"metric": "val_loss", "mode": "min", "censored": "fail"}
        if rng.random() < 0.3:
            options["censored"] = rng.choice((None, "fail", "exclude", "extrapolate"))
        if rng.random() < 0.1:
            options[rng.choice(("metric", "mode", "time", "seconds_per_unit", "test_metric"))] = odd(rng, 0)
        return {name: value for name, value in options.items() if value is not None}

    def read(self, given: tuple[bytes, dict[str, Any]]) -> None:
        content, options = given
        self.path.write_bytes(content)
        name = str(self.path)
        if options.pop("fit", False):
            name, options = f"fit:{name}", {k: v for k, v in options.items() if k != "test_metric"}
        used(load(name, **options))


class Csv(_Curves):
    suffix = ".csv"

    def case(self, rng: Random) -> tuple[bytes, dict[str, Any]]:
        options = self.options(rng)
        text = frame(rng.choice((2, 6)), rng.choice((1, 5))).write_csv()
        if rng.random() < 0.02:
            return rng.randbytes(rng.randrange(300)), options
        if rng.random() < 0.3:
            return mutated(text.encode(), rng), options
        if rng.random() < 0.03:
            text, options["fit"] = frame(40).write_csv(), True
        return rewritten(text, rng).encode("utf-8", "replace"), options


class Parquet(_Curves):
    suffix = ".parquet"

    def case(self, rng: Random) -> tuple[bytes, dict[str, Any]]:
        options = self.options(rng)
        if rng.random() < 0.3:
            return _parquet(_odd_frame(rng), rng), options
        content = _parquet(frame(rng.choice((2, 6)), rng.choice((1, 5))), rng)
        if rng.random() < 0.02:
            return b"PAR1" + rng.randbytes(rng.randrange(300)) + b"PAR1", options
        return mutated(content, rng, rng.choice((None, 8, 1000))), options


def _parquet(table: pl.DataFrame, rng: Random) -> bytes:
    said: Any = {
        "schema": 1,
        "resource": "epoch",
        "metrics": ["val_loss"],
        "metric": "val_loss",
        "mode": "min",
        "time": "seconds",
        "hyperparameters": ["lr", "layers", "act"],
        "space": Space(
            {"lr": Real(0, 1), "layers": Int(1, 4), "act": Choice("relu", "tanh", "elu")}
        ).to_json(),
    }
    if rng.random() < 0.4:
        said = altered(said, rng)
    notes = {"hbsim": json.dumps(said), "hbsim.metric": "val_loss", "hbsim.mode": "min"}
    if rng.random() < 0.2:
        notes[rng.choice(list(notes))] = rng.choice(ODD_TEXTS)
    file = io.BytesIO()
    table.write_parquet(
        file,
        compression=rng.choice(("uncompressed", "zstd", "snappy", "lz4", "gzip")),
        statistics=rng.random() < 0.7,
        row_group_size=rng.choice((None, 7)),
        metadata=notes if rng.random() < 0.6 else None,
    )
    return file.getvalue()


def _odd_frame(rng: Random) -> pl.DataFrame:
    """Return curves some of whose columns hold what curves do not."""
    table = frame()
    height = table.height
    makers: tuple[Callable[[], list[Any]], ...] = (
        lambda: [rng.choice(ODD_NUMBERS[:12]) for _ in range(height)],
        lambda: [float(n) if abs(n) < 1e308 else n * 1.0 for n in rng.choices(ODD_NUMBERS[-13:], k=height)],
        lambda: rng.choices(ODD_TEXTS, k=height),
        lambda: [None] * height,
        lambda: [rng.choice((None, 1.5, 2.0)) for _ in range(height)],
        lambda: [date(2026, 1, 1) + timedelta(n) for n in range(height)],
        lambda: [timedelta(n) for n in range(height)],
        lambda: [[1.0, 2.0]] * height,
        lambda: [{"a": 1}] * height,
        lambda: [b"\xff\x00"] * height,
        lambda: [True, False] * (height // 2),
        lambda: [rng.choice((10**20, 10**30)) for _ in range(height)],
    )
    for _ in range(few(rng)):
        name = rng.choice(table.columns)
        column = pl.Series(name, rng.choice(makers)(), strict=False)
        table = table.with_columns(column.head(table.height))
        table = rng.choice(
            (
                lambda t, n=name: t,
                lambda t, n=name: t.drop(n),
                lambda t, n=name: t.head(rng.randrange(t.height + 1)),
                lambda t, n=name: t.rename(
                    {n: rng.choice([x for x in ODD_TEXTS[1:20] if x not in t.columns])}
                ),
                lambda t, n=name: t.sample(fraction=1.0, shuffle=True, seed=rng.randrange(99)),
            )
        )(table)
        if table.width < 2 or table.height == 0:
            break
    return table


class Npz(_Curves):
    suffix = ".npz"

    def case(self, rng: Random) -> tuple[bytes, dict[str, Any]]:
        options = {**self.options(rng), "censored": "fail"}
        arrays: dict[str, Any] = {
            "hp": np.array(["lr", "layers"]),
            "X": np.array([[0.1, 1.0], [0.2, 2.0], [0.3, 2.0]]),
            "levels": np.arange(1.0, 5.0),
            "val_loss": np.linspace(1.0, 0.0, 12).reshape(3, 4),
            "t": np.tile(np.arange(1.0, 5.0), (3, 1)),
            "names": np.array(["a", "b", "c"]),
        }
        if rng.random() < 0.3:
            del arrays["levels"]
            options["first_level"] = rng.choice((None, 0, 1, *ODD_NUMBERS))
        if rng.random() < 0.5:
            for _ in range(few(rng)):
                name = rng.choice((*arrays, "new"))
                arrays[name] = _odd_array(rng, np.shape(arrays.get(name, 0)) if rng.random() < 0.6 else None)
            return _npz(arrays, rng), options
        content = mutated(_npz(arrays, rng), rng)
        return content, options


def _odd_array(rng: Random, shape: tuple[int, ...] | None = None) -> Any:
    if shape is None:
        shape = rng.choice(((), (0,), (3,), (4,), (3, 4), (4, 3), (0, 4), (3, 0), (2, 3, 4), (1, 4), (3, 1)))
    kind = rng.randrange(8)
    size = int(np.prod(shape))
    if kind < 3:
        return np.array([float(min(n, 10**300)) for n in rng.choices(ODD_NUMBERS, k=size)]).reshape(shape)
    if kind == 3:
        return np.array(rng.choices(ODD_TEXTS[:20], k=size), dtype="U20").reshape(shape)
    if kind == 4:
        return np.array(rng.choices((None, "x", 1), k=size), dtype=object).reshape(shape)
    new = rng.choice(("i1", "u8", "c16", "M8[D]", "m8[s]", "S3", "f2", "b1", "V4", "g", "i4,f8"))
    return np.zeros(shape, dtype=new)


def _npz(arrays: Mapping[str, Any], rng: Random) -> bytes:
    file = io.BytesIO()
    if rng.random() < 0.03:
        np.save(file, next(iter(arrays.values())), allow_pickle=True)
    else:
        (np.savez if rng.random() < 0.6 else np.savez_compressed)(file, **arrays)
    return file.getvalue()


# What other tools logged


class _Import:
    """Files of one tool: a case changes one or two of them."""

    kind: str
    sources: tuple[str, ...]  # what may be named: the folder is ""
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "logged"
        self.variants = self.make(folder)

    def make(self, folder: Path) -> list[dict[str, bytes]]:
        raise NotImplementedError

    def case(self, rng: Random) -> tuple[dict[str, bytes], str, dict[str, Any]]:
        files = dict(rng.choice(self.variants))
        for _ in range(few(rng, 2)):
            name = rng.choice(list(files))
            files[name] = self.changed(name, files[name], rng)
            if rng.random() < 0.02:
                del files[name]
            if not files:
                break
        options = dict(self.options)
        if rng.random() < 0.3:
            options["kind"] = self.kind
        if rng.random() < 0.1:
            options[rng.choice(("metric", "mode", "resource", "time", "study", "params", "first_level"))] = (
                odd(rng, 0)
            )
        return files, rng.choice(self.sources), options

    def changed(self, name: str, content: bytes, rng: Random) -> bytes:
        try:
            return self.edited(name, content, rng) if rng.random() < 0.8 else mutated(content, rng)
        except (ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError):  # it was changed before
            return mutated(content, rng)

    def edited(self, name: str, content: bytes, rng: Random) -> bytes:
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                inner = {n: archive.read(n) for n in archive.namelist()}
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for n, data in inner.items():
                    archive.writestr(n, self.changed(n, data, rng))
            return file.getvalue()
        text = content.decode()
        if name.endswith(("json", "log")) and rng.random() < 0.7:
            lines = (text.splitlines() if not name.endswith("data.json") else [text]) or [""]
            place = rng.randrange(len(lines))
            lines[place] = json.dumps(_inside(json.loads(lines[place]), rng))
            return "\n".join(lines).encode("utf-8", "replace")
        return rewritten(text, rng).encode("utf-8", "replace")

    def read(self, given: tuple[dict[str, bytes], str, dict[str, Any]]) -> None:
        files, source, options = given
        emptied(self.folder)
        for name, content in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)
        options = {**options}
        if isinstance(options.get("params"), str) and options["params"] in files:
            options["params"] = self.folder / options["params"]
        made = import_runs(self.folder / source if source else self.folder, **options)
        out = self.folder.parent / ("made.csv" if len(files) % 2 else "made.parquet")
        made.write(out, force=True)
        used(
            load(
                out,
                metric=made.metric,
                mode=made.mode or "min",
                censored="fail",
                seconds_per_unit=_without(made),
            )
        )


def _without(made: Any) -> float | None:
    return 1.0 if "seconds" not in made.frame.columns else None


def _inside(tree: Any, rng: Random) -> Any:
    """Change a tree, or one that a text in it holds."""
    inner = (
        {k: v for k, v in tree.items() if isinstance(v, str) and v[:1] in "{["}
        if isinstance(tree, dict)
        else {}
    )
    if inner and rng.random() < 0.5:
        name = rng.choice(list(inner))
        try:
            return {**tree, name: json.dumps(altered(json.loads(inner[name]), rng))}
        except ValueError:
            pass
    return altered(tree, rng)


def _folder(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


class SyneTune(_Import):
    kind, sources = "syne-tune", ("", "", "", "results.csv.zip")

    def make(self, folder: Path) -> list[dict[str, bytes]]:
        folders = [_folder(path) for path in sorted(IMPORTS.glob("syne_tune_*"))]
        plain = []
        for files in folders:
            with zipfile.ZipFile(io.BytesIO(files["results.csv.zip"])) as archive:
                text = archive.read(archive.namelist()[0])
            plain.append({"metadata.json": files["metadata.json"], "results.csv": text})
        return [{k: v for k, v in files.items() if v} for files in (*folders, *plain, *plain)]

    def edited(self, name: str, content: bytes, rng: Random) -> bytes:
        if name == "metadata.json" and rng.random() < 0.9:
            return json.dumps(_inside(json.loads(content), rng)).encode()
        return super().edited(name, content, rng)


class Ray(_Import):
    kind, sources = "ray", ("",)
    options: ClassVar[dict[str, Any]] = {"metric": "loss"}

    def make(self, folder: Path) -> list[dict[str, bytes]]:
        files = _folder(IMPORTS / "ray")
        few_of_them = {name: data for name, data in files.items() if name.split("/")[0][-1] in "012"}
        state = json.dumps({"runner_data": {"_metric": "loss", "_mode": "min"}}).encode()
        with_state = {**few_of_them, "experiment_state-2026.json": state}
        csv = {}
        for name, data in files.items():
            if name.endswith("result.json"):
                rows = [json.loads(line) for line in data.decode().splitlines()]
                table = pl.DataFrame(
                    [{k: v for k, v in row.items() if not isinstance(v, dict)} for row in rows]
                )
                csv[name.replace("result.json", "progress.csv")] = table.write_csv().encode()
        return [files, few_of_them, with_state, csv]


class Optuna(_Import):
    kind, sources = "optuna", ("study",)
    options: ClassVar[dict[str, Any]] = {"study": "digits"}

    def make(self, folder: Path) -> list[dict[str, bytes]]:
        journal = {"study": (IMPORTS / "optuna_journal.log").read_bytes()}
        path = folder / "optuna.db"
        connection = sqlite3.connect(path)
        connection.executescript(f"BEGIN; {(IMPORTS / 'optuna.sql').read_text()} COMMIT;")
        connection.close()
        self.database = path
        return [journal, {"study": path.read_bytes()}]

    def edited(self, name: str, content: bytes, rng: Random) -> bytes:
        if not content.startswith(b"SQLite"):
            return super().edited("journal.log", content, rng)
        path = self.database.with_name("changed.db")
        shutil.copy(self.database, path)
        connection = sqlite3.connect(path)
        try:
            tables = [
                row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            ]
            for _ in range(few(rng)):
                table = rng.choice(tables)
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                where = "" if rng.random() < 0.3 else f" WHERE rowid % 5 = {rng.randrange(5)}"
                try:
                    if rng.random() < 0.2:
                        connection.execute(f"DELETE FROM {table}{where}")
                    else:
                        value = odd(rng, 0)
                        value = value if not isinstance(value, int) or abs(value) < 2**63 else str(value)[:50]
                        connection.execute(f"UPDATE {table} SET {rng.choice(columns)} = ?{where}", (value,))
                except sqlite3.Error:
                    continue
            connection.commit()
        finally:
            connection.close()
        return path.read_bytes()


class Wandb(_Import):
    kind, sources = "wandb", ("runs.csv",)
    options: ClassVar[dict[str, Any]] = {"metric": "loss"}

    def make(self, folder: Path) -> list[dict[str, bytes]]:
        rng = np.random.default_rng(0)
        long = ["run_id,_step,_runtime,_timestamp,epoch,loss,acc,config.lr,config.act"]
        panel = [
            "Step," + ",".join(f"run-{run} - loss,run-{run} - loss__MIN,run-{run} - acc" for run in range(4))
        ]
        for step in range(5):
            panel.append(f"{step}," + ",".join(f"{rng.random():.4f},0,{rng.random():.4f}" for _ in range(4)))
            for run in range(4):
                long.append(
                    f"r{run},{step},{step * 2.5},{1.7e9 + step},{step + 1},{rng.random()},,{run / 10},relu"
                )
        table = "ID,Name,State,lr,act\n" + "".join(
            f"r{run},run-{run},finished,0.{run},relu\n" for run in range(4)
        )
        extra = {"params.csv": table.encode()}
        files = ["\n".join(long).encode(), "\n".join(panel).encode()]
        return [{"runs.csv": content, **more} for content in files for more in ({}, extra)]

    def case(self, rng: Random) -> tuple[dict[str, bytes], str, dict[str, Any]]:
        files, source, options = super().case(rng)
        if "params.csv" in files:
            options.setdefault("params", "params.csv")
        return files, source, options


class Mlflow(Wandb):
    kind = "mlflow"

    def make(self, folder: Path) -> list[dict[str, bytes]]:
        metrics = (IMPORTS / "mlflow_metrics.csv").read_bytes()
        runs = (IMPORTS / "mlflow_runs.csv").read_bytes()
        return [{"runs.csv": metrics}, {"runs.csv": metrics, "params.csv": runs}]


# A folder of YAHPO's


class Yahpo:
    def __init__(self, folder: Path) -> None:
        from tests.doubles.yahpo import Double

        self.folder = folder / "data"
        Double().write(self.folder / "lcbench")
        self.files = _folder(self.folder / "lcbench")

    def case(self, rng: Random) -> dict[str, bytes]:
        files = dict(self.files)
        for _ in range(few(rng, 2)):
            name = rng.choice(("encoding.json", "config_space.json", "config_space.json"))
            text = files[name].decode()
            try:
                text = (
                    json.dumps(altered(json.loads(text), rng)) if rng.random() < 0.7 else rewritten(text, rng)
                )
            except ValueError:
                text = rewritten(text, rng)
            files[name] = text.encode("utf-8", "replace")
        return files

    def read(self, given: dict[str, bytes]) -> None:
        for name, content in given.items():
            (self.folder / "lcbench" / name).write_bytes(content)
        used(load("yahpo:lcbench/33", yahpo_data=self.folder))


# Objects


class Objects:
    """What is given as `surrogate=` and is none, or one with faults."""

    def __init__(self, folder: Path) -> None:
        pass

    def case(self, rng: Random) -> Any:
        kind = rng.randrange(3)
        if kind == 0:
            return Given(rng.choice(_OBJECTS)())
        return _Surrogate(rng)

    def read(self, given: Any) -> None:
        given = given.value if isinstance(given, Given) else given
        hbsim.simulate(
            make_scheduler("stopping", max_t=9, num_trials=5, mode="min"), given, workers=2
        ).summary()
        used(load(given))


class Given:
    """Holds an object that may not like to be printed."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Hostile:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


class _Moody:
    def __eq__(self, other: object) -> Any:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


def _pandas() -> Any:
    import pandas

    return pandas.DataFrame({"epoch": [1, 2], "loss": [0.1, 0.2]})


_OBJECTS: Final[tuple[Callable[[], Any], ...]] = (
    *(frame, lambda: frame().lazy(), lambda: frame()["lr"], _pandas, lambda: _pandas()["loss"]),
    *(lambda: np.zeros((3, 4)), lambda: np.array(1.0), lambda: np.array(["digits"]), lambda: np.ma.masked),
    *(
        lambda: None,
        lambda: 3,
        lambda: 1.5,
        lambda: b"digits",
        lambda: ["digits"],
        lambda: {"metric": "x"},
        object,
    ),
    *(
        lambda: Real,
        lambda: frame,
        lambda: Path,
        lambda: Path(),
        lambda: Path("x\x00y"),
        lambda: "x\x00y.csv",
    ),
    *(_Hostile, _Moody, lambda: iter([]), lambda: Space({}), lambda: hbsim, lambda: type("T", (), {})),
    *(
        lambda: "",
        lambda: ":",
        lambda: "fit:",
        lambda: "yahpo:",
        lambda: "x.py:y",
        lambda: "synthetic:noise=nan",
    ),
    *(lambda: "synthetic:" + "a=1," * 50, lambda: "\ud800.csv", lambda: "x" * 5000 + ".csv", lambda: set()),
    lambda: np.zeros(3, dtype=[("metric", "f8"), ("mode", "f8")]),
)


class _Surrogate:
    """A user's surrogate of which something is odd."""

    name: Any = "mine"
    metric: Any = "loss"
    mode: Any = "min"
    max_resource: Any = 9
    resources: Any = None
    rows: Any = 20
    space: Any = None

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._faults = rng.choices(("values", "seconds", "optimum", "test_values"), k=rng.randrange(3))
        for name in rng.choices(
            ("name", "metric", "mode", "max_resource", "resources", "rows", "space", "points"), k=2
        ):
            if rng.random() < 0.7:
                strange = odd(rng) if rng.random() < 0.6 else rng.choice(_OBJECTS)()
                setattr(self, name, strange)

    def _odd(self, what: str, shape: tuple[int, ...]) -> Any:
        rng = self._rng
        if what not in self._faults:
            return np.ones(shape)
        makers: tuple[Callable[[], Any], ...] = (
            lambda: odd(rng),
            lambda: _odd_array(rng),
            lambda: rng.choice(_OBJECTS)(),
            lambda: np.full(shape, rng.choice((np.nan, np.inf, -1.0, 1e308))),
            lambda: np.ones(shape, dtype=complex),
            lambda: np.ones(shape, dtype=object),
            lambda: [["x"] * shape[-1]] * shape[0],
            lambda: [1.0] * 3,
            lambda: 1 / 0,
        )
        return rng.choice(makers)()

    def evaluate(self, configurations: Any, levels: Any) -> Any:
        shape = len(configurations), len(levels)
        return self._odd("values", shape), self._odd("seconds", shape)

    def optimum(self, level: float) -> Any:
        return 0.0 if "optimum" not in self._faults else self._odd("optimum", (1,))

    def test_values(self, configurations: Any, level: float) -> Any:
        return self._odd("test_values", (len(configurations),))
