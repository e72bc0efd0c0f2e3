"""Fingerprints: the same for the same content, and another one for every change of it."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hbsim.core.space import Choice, Real, Space
from hbsim.surrogates import Checked, Ideal, Noisy, Synthetic, Table, fingerprint, fit, load, wrappers
from hbsim.surrogates.table_files import RecordedCurves
from tests.surrogates import fit_pilots

GOLDEN = "3e8819e02093ebc331bcaf469c73ff43720862e751424fcf3969d8d28673716c"
LEVELS = np.array([1.0, 2.0, 4.0, 8.0])
ROWS = 6
PARTS = {
    "val": np.random.default_rng(0).random((ROWS, 4)),
    "test": np.random.default_rng(1).random((ROWS, 4)),
    "seconds": np.cumsum(np.random.default_rng(2).random((ROWS, 4)), axis=1),
}
WIDTHS = [8, 16, 4, 2, 1, 32]
TEXTS = ("synthetic", "ideal", "digits")

USER = """
import numpy as np
from hbsim.core.space import Real, Space

class Mine:
    metric, mode, max_resource = "loss", "min", 9
    resources = {resources}
    rows = {rows}
    space = None if rows else Space({{"x": Real(0.0, {high})}})

    def evaluate(self, configurations, levels):
        x = np.asarray(configurations, dtype=float).reshape(len(configurations), -1)[:, :1]
        return {values}, np.ones_like(x) * levels * {seconds}

    def optimum(self, level):
        return {optimum}

    def test_values(self, configurations, level):
        return {tests}

PLAIN = {{"resources": None}}
"""
MINE = {
    "resources": "None",
    "rows": "None",
    "high": "1.0",
    "values": "x + 1 / levels",
    "seconds": "1.0",
    "optimum": "0.0",
    "tests": "None",
}


def table(
    *,
    metric: str = "val",
    mode: str = "min",
    source: str = "curves.npz",
    levels=LEVELS,
    space: Space | None = None,
    tested: bool = True,
    widths=WIDTHS,
    changed: tuple[str, int, int, float] | None = None,
) -> Table:
    """Return a table; `changed` is a part, a row, a column, and what stands there."""
    columns = {name: part.copy() for name, part in PARTS.items()}
    columns["val"][2, 3] = np.nan
    if changed is not None:
        part, row, column, value = changed
        columns[part][row, column] = value
    frame = pl.DataFrame({"config": range(ROWS), "width": widths})
    recorded = RecordedCurves(source, levels, columns, frame, {}, space, "seconds")
    return Table(recorded, metric=metric, mode=mode, censored="fail", test_metric="test" if tested else None)


def all_different(surrogates) -> bool:
    found = [fingerprint(surrogate) for surrogate in surrogates]
    assert all(len(one) == 64 and set(one) <= set("0123456789abcdef") for one in found)
    return len(set(found)) == len(found)


def test_that_of_synthetic_curves_does_not_change():
    # Another one is a change of what is hashed, or how: then VERSION is another one too.
    assert fingerprint(Synthetic()) == GOLDEN
    assert fingerprint(load("synthetic:seed=0,noise=0.01")) == GOLDEN


def test_every_parameter_of_a_formula_counts():
    assert all_different(
        [
            Synthetic(),
            Synthetic(family="exponential"),
            Synthetic(max_resource=82),
            Synthetic(noise=np.nextafter(0.01, 1)),
            Synthetic(early_rank=0.4),
            Synthetic(divergence=0.04),
            Synthetic(cost_spread=3),
            Synthetic(seconds=2),
            Synthetic(mode="min"),
            Synthetic(seed=1),
            Ideal(),
            Ideal(82),
            Ideal(mode="min"),
            Ideal(seconds=2),
            Ideal(qualities=[0.5, 0.25]),
            Ideal(qualities=[0.25, 0.5]),
            Ideal(qualities=[0.5, np.nan]),
        ]
    )


def test_everything_that_can_be_read_of_a_table_counts():
    one_ulp = np.nextafter(PARTS["val"][5, 0], 1)
    assert all_different(
        [
            table(),
            table(mode="max"),
            table(metric="test"),
            table(tested=False),
            table(levels=np.array([1.0, 2.0, 4.0, 9.0])),
            table(space=Space({"width": Real(1, 32)})),
            table(space=Space({"width": Real(1, 33)})),
            table(space=Space({"width": Choice((1, 2), (3, 4))})),
            table(space=Space({"width": Choice((1, 2), (3, 5))})),
            table(changed=("val", 5, 0, one_ulp)),
            table(changed=("val", 0, 0, np.nan)),
            table(changed=("seconds", 0, 3, 99.0)),
            table(changed=("test", 3, 1, 0.5)),
        ]
    )


def test_names_do_not_count():
    assert fingerprint(table(source="elsewhere.npz", widths=WIDTHS[::-1])) == fingerprint(table())
    named = table()
    named.name = "another"
    assert fingerprint(named) == fingerprint(table())


def test_one_nan_is_as_good_as_another():
    other = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    assert np.isnan(other)
    assert fingerprint(table(changed=("val", 2, 3, other))) == fingerprint(table())


def test_files_of_any_format_are_told_by_what_is_in_them(tmp_path: Path):
    places = [(row, level) for row in range(ROWS) for level in range(4)]
    lines = {"config": [row for row, _ in places], "epoch": [LEVELS[level] for _, level in places]}
    lines |= {"width": [WIDTHS[row] for row, _ in places]}
    lines |= {name: [part[place] for place in places] for name, part in PARTS.items()}
    pl.DataFrame(lines).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame(lines).write_csv(tmp_path / "b.csv")
    arrays = {"val": PARTS["val"], "test": PARTS["test"], "t": PARTS["seconds"], "levels": LEVELS}
    np.savez(tmp_path / "c.npz", **arrays, hp=np.array(["width"]), X=np.array(WIDTHS)[:, None])
    loaded = [load(path, metric="val", mode="min", test_metric="test") for path in sorted(tmp_path.iterdir())]
    assert len(loaded) == 3
    assert len({fingerprint(one) for one in loaded}) == 1


def test_wrappers_their_parameters_and_their_order_count():
    wraps = [
        [],
        ["noise"],
        ["noise:std=0.02"],
        ["noise:fade=true"],
        ["noise:seed=1"],
        ["negate"],
        ["cost:factor=2"],
        ["cost:spread=2"],
        ["cost:spread=2,parameter=width"],
        ["cost:spread=2,seed=1"],
        ["corrupt"],
        ["corrupt:share=0.5"],
        ["corrupt:from_level=2"],
        ["corrupt:share=0.5,parameter=width"],
        ["corrupt:share=0.5,parameter=width,end=low"],
        ["corrupt:seed=1"],
        ["delay"],
        ["delay:units=2"],
        ["noise", "negate"],
        ["negate", "noise"],
        ["noise", "noise"],
    ]
    wraps += [["half"], ["half=0,1"], ["half=1,0"], ["half=1,0", "noise"], ["noise", "half=1,0"]]
    assert {re.split("[:=]", text)[0] for wrap in wraps for text in wrap} == set(wrappers._WRAPPERS)
    assert all_different([load(table(), wrap=wrap) for wrap in wraps])
    again = [load(table(source="x"), wrap=wrap) for wrap in (["noise"], ["noise:std=0.01,seed=0"])]
    assert fingerprint(again[0]) == fingerprint(again[1]) == fingerprint(load(table(), wrap="noise"))
    assert all_different([load(table(changed=("val", 0, 0, 0.5)), wrap="noise"), load(table(), wrap="noise")])


def test_a_column_that_decides_about_cost_or_failure_counts():
    for wrap in ("cost:spread=2,parameter=width", "corrupt:share=0.5,parameter=width"):
        one, other = (load(table(widths=widths), wrap=wrap) for widths in (WIDTHS, WIDTHS[::-1]))
        assert fingerprint(one) != fingerprint(other)
        assert fingerprint(one) == fingerprint(load(table(widths=[10 * w for w in WIDTHS]), wrap=wrap))


@pytest.mark.usefixtures("small_forests")
def test_a_fit_is_told_by_its_rows_and_its_seed(tmp_path: Path):
    pytest.importorskip("sklearn")
    surrogate, points, values, seconds = fit_pilots.curves(30)
    path = fit_pilots.write(tmp_path / "a.npz", surrogate, points, values, seconds)
    other = shutil.copy(path, tmp_path / "b.npz")
    changed = values.copy()
    changed[7, 2] += 0.125
    third = fit_pilots.write(tmp_path / "c.npz", surrogate, points, changed, seconds)
    options = {"metric": "val", "mode": "max"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = fit(path, **options), fit(other, **options)
        others = [fit(third, **options), fit(path, **options, seed=1), load(path, **options)]
    assert fingerprint(first) == fingerprint(second)
    assert all_different([first, *others])


def test_yahpo_is_told_by_its_files_and_what_is_read_of_them(yahpo_data: Path, tmp_path: Path):
    def of(instance: str = "11", data: Path = yahpo_data, **options):
        return load(f"yahpo:lcbench/{instance}", yahpo_data=data, **options)

    moved = shutil.copytree(yahpo_data, tmp_path / "moved")
    assert fingerprint(of(data=moved)) == fingerprint(of())
    before = of(data=moved)
    found = fingerprint(before)
    codes = moved / "lcbench" / "encoding.json"
    codes.write_bytes(codes.read_bytes() + b"\n")
    assert fingerprint(before) != found
    entropy = {"metric": "val_cross_entropy"}
    tested = {**entropy, "test_metric": "test_balanced_accuracy"}
    assert all_different([of(), of("22"), of(**entropy), of(**tested), of(metric="val_balanced_accuracy")])


def mine(folder: Path, text: str = USER, name: str = "mine.py", **changed: str):
    path = folder / name
    path.write_text(text.format(**{**MINE, **changed}))
    return load(f"{path}:Mine")


def test_a_users_own_is_told_by_what_it_returns_and_by_its_file(tmp_path: Path):
    first = fingerprint(mine(tmp_path))
    assert fingerprint(mine(tmp_path, name="other.py")) == first
    assert fingerprint(mine(tmp_path, USER + "# a remark\n")) != first


@pytest.mark.parametrize("rows", ["None", "5", "300000"])
def test_all_that_a_users_own_returns_counts_whatever_defines_it(
    tmp_path: Path, rows: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("inspect.getsourcefile", lambda _: None)  # the file is the same for all
    last = "configurations[:, 0] > 0.9" if rows == "None" else "configurations > int(rows) - 2"
    last = last.replace("int(rows)", rows)
    changes = [{}, {"seconds": "2.0"}, {"optimum": "None"}, {"tests": "np.ones(len(configurations))"}]
    changes += [{"values": f"x + 1 / levels + 1e-9 * ({last})[:, None]"}, {"values": "x + (levels == 9)"}]
    changes += [{"resources": "(1.0, 3.0, 9.0)"}, {"resources": "(1.0, 2.0, 9.0)"}]
    changes += [{"high": "2.0"}] if rows == "None" else [{"rows": str(int(rows) + 1)}]
    assert all_different([mine(tmp_path, **{"rows": rows, **changed}) for changed in changes])


def test_asking_twice_gives_the_same_and_few_are_asked_for(tmp_path: Path):
    asked = []
    surrogate = mine(tmp_path, rows="300000")
    evaluate = type(surrogate.wrapped).evaluate

    def counted(self, configurations, levels):
        asked.append(len(configurations) * len(levels))
        return evaluate(self, configurations, levels)

    type(surrogate.wrapped).evaluate = counted
    assert fingerprint(surrogate) == fingerprint(surrogate)
    assert sum(asked) == 2 * 4096 * 64


def test_hbsims_own_curves_in_a_users_file_are_what_they_are(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import hbsim.surrogates\nMINE = hbsim.surrogates.load('synthetic:seed=3', wrap=['noise'])\n"
    )
    found = load(f"{path}:MINE")
    assert isinstance(found, Checked)
    assert fingerprint(found) == fingerprint(Noisy(Synthetic(seed=3)))


def test_a_subclass_is_a_users_own():
    class Halved(Synthetic):
        def evaluate(self, configurations, levels):
            values, seconds = super().evaluate(configurations, levels)
            return values / 2, seconds

    class Same(Synthetic):
        pass

    assert all_different([Halved(), Same(), Synthetic()])
    assert fingerprint(Halved()) == fingerprint(Checked(Halved()))


@pytest.mark.parametrize("text", TEXTS)
def test_what_ships_has_one(text: str):
    assert fingerprint(load(text)) == fingerprint(load(text))
