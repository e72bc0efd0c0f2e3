from __future__ import annotations

import io
import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hbsim.bench.compare import run
from hbsim.bench.document import as_dict
from hbsim.bench.plot import anytime_figure, save_anytime
from hbsim.bench.styles import styles
from hbsim.bench.tables import captions, duration, markdown, not_shown, rich_table
from hbsim.cli.compare_report import show

from hbsim.bench import Comparison, Plan, compare, frames
from hbsim.cli.output import plain
from hbsim.errors import HbsimWarning
from hbsim.simulation import Cluster
from tests.bench.grids import plan_of


def cells_bytes(comparison: Comparison) -> bytes:
    file = io.BytesIO()
    frames.cells(comparison).write_parquet(file)
    frames.incumbents(comparison).write_parquet(file)
    return file.getvalue()


@pytest.fixture(scope="module")
def small() -> Comparison:
    plan, _ = plan_of("stopping", "promotion", "fifo", "sha", seeds=4, vary=("brackets=1,2",))
    return compare(plan, jobs=1)


def test_any_number_of_processes_gives_the_same_bytes(small: Comparison):
    threads = os.environ.get("POLARS_MAX_THREADS")
    assert cells_bytes(compare(small.plan, jobs=2)) == cells_bytes(small)
    assert os.environ.get("POLARS_MAX_THREADS") == threads


def test_a_known_winner_is_found():
    # Ranks at the first level are the final ones: early stopping must beat training all to the end.
    plan, _ = plan_of(
        "fifo",
        "stopping",
        surrogate="synthetic:mode=min,max_resource=9,early_rank=1,noise=0,divergence=0",
        seeds=10,
        trials=400,
        max_time=60.0,
    )
    comparison = compare(plan, jobs=1)
    assert [row.label for row in comparison.rows] == ["stopping", "fifo"]
    assert comparison.rows[1].at_time.call == "worse"
    assert comparison.rows[1].at_time.difference.low > 0


def test_a_row_a_study(small: Comparison):
    table = frames.cells(small)
    assert table.height == 6 * 4
    assert table["variant"].to_list()[:3] == [
        "stopping,brackets=1",
        "stopping,brackets=2",
        "promotion,brackets=1",
    ]
    assert table["seed"].to_list()[5:7] == [0, 1]
    assert table.schema["trials"] == pl.Int64
    assert table.schema["time_regret"] == pl.Float64
    assert table["time_test"].null_count() == table.height
    first = small.variants[0][0]
    assert table["time_regret"][0] == first.regret[first.at("time", small.time.value)]


def test_means_of_the_table_are_those_of_the_cells(small: Comparison):
    cells = frames.cells(small)
    for row in small.table.iter_rows(named=True):
        mine = cells.filter(pl.col("variant") == row["variant"])
        assert row["time_regret"] == pytest.approx(mine["time_regret"].mean())
        assert row["busy_share"] == pytest.approx(mine["busy_share"].mean())
        assert row["completed"] == pytest.approx(mine["completed"].mean())
    assert small.table["rank"].to_list() == sorted(small.table["rank"].to_list())


def test_json_is_plain(small: Comparison):
    document = json.loads(json.dumps(plain(as_dict(small)), allow_nan=False))
    assert document["score"] == "regret"
    assert document["seeds"] == [0, 1, 2, 3]
    assert document["complete"] is True
    assert len(document["variants"]) == 6
    fifo = next(v for v in document["variants"] if v["variant"] == "fifo")
    assert fifo["options"] == {"max_t": 9, "num_trials": 40}
    assert document["equal_time"]["value"] == min(cell.end_time for cell in small.cells)
    assert set(document["equal_time"]["least_of"]) == {"variant", "seed"}


def test_clipping_is_said_once():
    plan, _ = plan_of("stopping,brackets=9", seeds=3)
    with pytest.warns(HbsimWarning, match=r"stopping,brackets=9: brackets=9 is clipped to 3") as caught:
        compare(plan, jobs=1)
    assert len(caught) == 1


def interrupted(plan: Plan, after: int) -> Comparison:
    def progress(done: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    return run(plan, plan.surrogate(), 1, progress)


def test_what_was_finished_before_an_interrupt_is_kept():
    plan, _ = plan_of("stopping", "fifo", seeds=5)
    comparison = interrupted(plan, 7)
    assert comparison.seeds == (0, 1, 2)
    assert not comparison.complete
    assert "3 of 5 seeds" in comparison.notes[0]
    whole = compare(plan, jobs=1)
    same = frames.cells(whole).filter(pl.col("seed") < 3).select("variant", "seed", "trials", "busy_share")
    assert frames.cells(comparison).select(same.columns).equals(same)


def test_an_interrupt_before_anything_is_finished_goes_on():
    plan, _ = plan_of("stopping", "fifo")
    with pytest.raises(KeyboardInterrupt):
        interrupted(plan, 1)


def test_notes_say_what_happened():
    plan, _ = plan_of("stopping", "fifo", "sha", seeds=2, max_time=400.0)
    notes = "\n".join(compare(plan, jobs=1).notes)
    assert "ran out of trials before the time was up" in notes
    assert "idle; give more trials" in notes
    assert "2 seeds" in notes
    assert "sha: no n was given; n=9" in notes


def test_money_is_in_the_tables_of_a_cluster_with_prices(small: Comparison):
    plan, _ = plan_of("stopping", "fifo", cluster=Cluster(workers=4, price=3600.0, startup=1.0))
    comparison = compare(plan, jobs=1)
    cells = frames.cells(comparison)
    for row in comparison.table.iter_rows(named=True):
        mine = cells.filter(variant=row["variant"])
        assert mine["cost"].to_list() == pytest.approx((4 * mine["simulated_seconds"]).to_list())
        assert row["cost"] == pytest.approx(mine["cost"].mean())
    titles, _, *lines = (line.split("|") for line in markdown(comparison).splitlines()[:4])
    at = [title.strip() for title in titles].index("cost")
    assert [line[at].strip() for line in lines] == [f"{cost:,.2f}" for cost in comparison.table["cost"]]
    assert "Cost, completed and busy are to each study's own end, regret at equal time." in captions(
        comparison
    )
    assert "cost" not in markdown(small).lower()
    assert small.table["cost"].to_list() == [None] * 6
    assert frames.cells(small)["cost"].null_count() == 24


def test_studies_that_no_worker_is_left_for_are_noted():
    cluster = Cluster(schedule=[(0, 4), (3, 0)])
    plan, _ = plan_of("stopping", "fifo", seeds=2, cluster=cluster, max_time=100.0)
    notes = compare(plan, jobs=1).notes
    assert "stopping and fifo: in 4 studies no worker was left before the work was done" in notes
    assert "ran out of trials" not in "".join(notes)


def test_failures_are_in_the_table_and_its_notes(small: Comparison):
    plan, _ = plan_of("stopping", "stopping,retries=500", seeds=2, cluster=Cluster(workers=4, drop_rate=0.2))
    plan = replace(plan, max_time=2000.0)
    comparison = compare(plan, jobs=1)
    notes = "\n".join(comparison.notes)
    mean = {row.label: row.means["failed"] for row in comparison.rows}
    assert mean["stopping"] > 4 > mean["stopping,retries=500"] == 0
    assert f"stopping: {mean['stopping'] / 40:.0%} of the trials failed for good; more --retries" in notes
    assert "ran out of trials" in notes
    assert "many of stopping failed: give more --retries" in notes
    titles, _, *lines = (line.split("|") for line in markdown(comparison).splitlines()[:4])
    at = [title.strip() for title in titles].index("failed")
    assert {line[2].strip(): float(line[at]) for line in lines} == pytest.approx(mean, abs=0.5)
    assert "failed" not in markdown(small)


def test_no_score_is_said_and_ranked_last():
    plan, _ = plan_of("fifo", "promotion", seeds=3, max_time=2.0)
    comparison = compare(plan, jobs=1)
    assert [row.label for row in comparison.rows] == ["promotion", "fifo"]
    assert comparison.rows[1].at_time.missing == 3
    assert any("no score at equal time in 3 of 3 seeds" in note for note in comparison.notes)
    fifo = comparison.table.row(1, named=True)
    assert fifo["time_regret"] is None
    assert fifo["time_call"] == "no score"
    anytime_figure(comparison)


def test_markdown_has_a_line_a_variant(small: Comparison):
    lines = markdown(small).splitlines()
    assert lines[0].startswith("| rank | variant |")
    assert sum(line.startswith("|") for line in lines) == 2 + 6
    assert all(line.count("|") == lines[0].count("|") for line in lines if line.startswith("|"))
    assert any("Equal time" in line for line in lines)


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_the_table_fits_its_terminal(small: Comparison, width: int):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=max(width, 76))
    console.print(rich_table(small, width))
    text = console.file.getvalue()
    assert "fifo" in text
    assert ("busy" in text) == (width == 200)
    assert "…" not in text
    assert set(not_shown(small, width)) == {
        title for title in titles(small) if title.split()[-1] not in text.split()
    }


def titles(comparison: Comparison) -> list[str]:
    return [title.strip() for title in markdown(comparison).splitlines()[0].split("|")[1:-1]]


def test_a_narrow_terminal_has_the_cost_and_the_failures_and_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    plan, _ = plan_of("stopping", "fifo", cluster=Cluster(workers=4, price=3600.0, drop_rate=0.01))
    comparison = compare(plan, jobs=1)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    show(comparison, None)
    text = re.sub("\x1b[^m]*m", "", capsys.readouterr().out)
    table, below = text[: text.index("not shown")], " ".join(text[text.index("not shown") :].split())
    assert {"cost", "failed"} <= set(table.split())
    hidden = not_shown(comparison, 100)
    assert "completed" in hidden
    line = f"not shown at this width: {', '.join(hidden)}; --out or a wider terminal has them"
    assert below.startswith(line)
    assert not_shown(comparison, 300) == []


def test_captions_say_where_and_what(small: Comparison):
    text = "\n".join(captions(small))
    assert "error at R=9 (min, best 0.05)" in text
    assert "seeds 0 to 3" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.5, "1.5 s"), (300.0, "300 s (5.0 min)"), (7200.0, "7,200 s (2.0 h)")]
)
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text


def test_the_picture_has_the_same_bytes_each_time(small: Comparison, tmp_path: Path):
    for name in ("a.png", "b.png"):
        save_anytime(small, tmp_path / name)
    picture = (tmp_path / "a.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture == (tmp_path / "b.png").read_bytes()


def test_the_picture_draws_every_variant(small: Comparison):
    left, middle, ranking = anytime_figure(small).axes
    names = [label.get_text() for label in ranking.get_yticklabels()]
    assert len(names) == 6
    assert names[0] == f"{small.rows[0].at_time.rank}  {small.rows[0].label.replace(',', ', ')}"
    assert left.get_ylim() == middle.get_ylim()
    assert left.get_yscale() == "log"


def test_one_seed_and_one_variant_can_be_drawn(tmp_path: Path):
    plan, _ = plan_of("stopping", seeds=1)
    comparison = compare(plan, jobs=1)
    save_anytime(comparison, tmp_path / "one.png")
    assert math.isnan(comparison.rows[0].at_time.interval.low)
    assert "one seed" in comparison.notes[-1]


def test_styles_tell_all_variants_apart():
    by_type, _ = plan_of("stopping", "promotion", "fifo", vary=("brackets=1,2,3",))
    looks = styles(by_type.variants)
    assert len({(s.colour, s.dashes) for s in looks}) == 7
    assert len({s.colour for s in looks[:3]}) == 1
    many, _ = plan_of("stopping", vary=("brackets=1,2,3", "reduction_factor=2,3,4,5,6,7,8,9"))
    assert len({(s.colour, s.dashes) for s in styles(many.variants)}) == 24
