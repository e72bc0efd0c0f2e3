"""The ASHA paper's workloads: what is committed is what the command writes, and agrees with other figures."""

import json
import struct
from statistics import fmean, variance

import pytest

from benchmarks.asha_paper import (
    FIGURES,
    FOLDER,
    PAIRS,
    Figures,
    inside,
    render,
    save_policies,
    save_workloads,
    standard_errors,
)
from benchmarks.asha_paper_cells import DROPS, STDS, VARIANTS, Cell, cells
from hbsim.core import make_scheduler
from tests.doubles.workloads import trained
from tests.profile import thorough

CONTENT = json.loads((FOLDER / "asha_paper.json").read_text(encoding="utf-8"))
# With p > 0 the independent figures are those of jobs that take their places with them.
THEIRS = {"promotion": "lost, place held", "sha": "lost, nominal quota"}
SOME = [
    ("pausing", "nothing dropped", 0.0, 0.0),
    ("pausing", "lost, place held", 1.33, 0.001),
    ("straight on", "lost, place passed on", 0.56, 0.0005),
    ("straight on", "retried once", 0.1, 0.001),
    ("overlapping", "lost, nominal quota", 1.33, 0.001),
    ("overlapping", "lost, 1/4 of the results", 0.24, 0.00025),
    ("waiting", "retried 3 times", 0.56, 0.001),
]


def policy(variant: str) -> str:
    return THEIRS[VARIANTS[variant]["type"]]


def test_the_committed_figures_are_of_all_cells():
    keys = [(cell["variant"], cell["policy"], cell["std"], cell["p"]) for cell in CONTENT["cells"]]
    assert keys == [(cell.variant, cell.policy, cell.std, cell.p) for cell in cells()]
    assert all(
        len(cell["trained"]) == len(cell["first"]) == CONTENT["seeds"] == 25 for cell in CONTENT["cells"]
    )


@pytest.mark.parametrize("key", SOME, ids=str)
def test_cells_come_out_as_they_are_committed(key):
    (kept,) = (c for c in CONTENT["cells"] if (c["variant"], c["policy"], c["std"], c["p"]) == key)
    found = Cell(*key).run([0, 17])
    assert found["trained"] == [kept["trained"][seed] for seed in (0, 17)]
    assert found["first"] == [kept["first"][seed] for seed in (0, 17)]


def test_the_committed_page_is_that_of_the_figures():
    assert (FOLDER / "table.md").read_text(encoding="utf-8") == render(CONTENT)


@pytest.mark.parametrize(
    ("name", "draw"),
    [pytest.param("workloads", save_workloads, marks=thorough), ("policies", save_policies)],
)
def test_the_same_figures_give_the_same_picture(name, draw, tmp_path):
    """Which bytes depends on the version of matplotlib; none of them is a date or a version."""
    draw(CONTENT, tmp_path / "1.png")
    draw(CONTENT, tmp_path / "2.png")
    first, committed = (tmp_path / "1.png").read_bytes(), (FOLDER / f"{name}.png").read_bytes()
    assert first == (tmp_path / "2.png").read_bytes()
    for picture in (first, committed):
        assert not {b"tEXt", b"iTXt", b"zTXt", b"tIME"} & set(chunks(picture))


def chunks(png: bytes) -> list[bytes]:
    at, names = 8, []
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        names.append(png[at + 4 : at + 8])
        at += 12 + length
    return names


@pytest.mark.parametrize("key", FIGURES, ids=str)
def test_independent_figures_are_within_the_spread(key):
    std, p, variant = key
    count, sd, first = FIGURES[key]
    figures = Figures(CONTENT)
    ours = figures.trained(variant, policy(variant), std, p), figures.first(variant, policy(variant), std, p)
    assert inside(ours[0], count)
    assert inside(ours[1], first) or key == (0.0, 0.0, "overlapping")  # by the order of simultaneous events
    for sample, figure, theirs in zip(ours, (count, first), (sd, None), strict=True):
        off = standard_errors(sample, figure, theirs)
        assert off is None or abs(off) < 3


@pytest.mark.parametrize("variant", ["pausing", "straight on", "overlapping"])
def test_other_policies_do_not_give_the_independent_figures(variant):
    """What happens to a dropped job changes the conclusion."""
    std, p = 1.33, 0.001
    figure, sd, _ = FIGURES[std, p, variant]
    other = {"promotion": "lost, place passed on", "sha": "lost, 1/4 of the results"}[
        VARIANTS[variant]["type"]
    ]
    ours = Figures(CONTENT).trained(variant, other, std, p)
    assert not inside(ours, figure)
    assert abs(standard_errors(ours, figure, sd)) > 4


@thorough
@pytest.mark.parametrize("variant", ["pausing", "straight on", "overlapping"])
def test_other_seeds_agree_too(variant):
    figure, sd, _ = FIGURES[1.33, 0.001, variant]
    ours = Cell(variant, policy(variant), 1.33, 0.001).run(range(100, 108))["trained"]
    error = (variance(ours) / len(ours) + (sd or variance(ours) ** 0.5) ** 2 / 10) ** 0.5
    assert abs(fmean(ours) - figure) < 3 * error


@thorough
@pytest.mark.parametrize("variant", ["pausing", "straight on", "overlapping"])
def test_drawing_anew_for_each_job_makes_no_difference(variant):
    """Elsewhere slowness belongs to a trial's stretch between two levels, and a restart meets it again."""
    cell = Cell(variant, policy(variant), 1.33, 0.001)
    naive = [trained(make_scheduler(**cell.options), cell.std, cell.p, seed) for seed in range(8)]
    ours = Figures(CONTENT).trained(variant, cell.policy, cell.std, cell.p)
    error = (variance(naive) / len(naive) + variance(ours) / len(ours)) ** 0.5
    assert abs(fmean(naive) - fmean(ours)) < 3 * error


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_the_trend(pair):
    """The asynchronous form trains more; its advantage grows with noise, and its first is sooner."""
    figures = Figures(CONTENT)
    assert all(figures.ratio(pair, std, p) > 1 for std in STDS for p in DROPS)
    assert figures.ratio(pair, 1.33, 0.0) > figures.ratio(pair, 0.0, 0.0)
    assert figures.ratio(pair, 1.33, 0.001) > figures.ratio(pair, 0.0, 0.0)
    for std, p in ((0.56, 0.0), (1.33, 0.0), (1.33, 0.001)):
        mean, error = figures.sooner(pair, std, p)
        assert mean > 2 * error
    assert abs(figures.sooner(pair, 0.0, 0.0)[0]) < 10
