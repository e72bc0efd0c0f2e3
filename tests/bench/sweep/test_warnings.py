"""What a sweep warns of before anything runs, and what errors of users' own curves say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbsim.bench.pool import Pool
from hbsim.bench.sweep.cell import run_studies
from hbsim.bench.sweep.run import run_plan
from hbsim.errors import ParameterError
from tests.bench.sweep.made import SMALL, read

TOP = "seeds = 1\nworkers = 2\ndefaults = {num_trials = 5}\n"
CURVES = 'surrogates = [{surrogate = "synthetic:mode=min,max_resource=9"}]\n'
CRASH = """
import numpy as np
from hbsim import Real, Space

class Crash:
    metric, mode, max_resource = "loss", "min", 9.0
    space = Space({"x": Real(0, 1)})

    def evaluate(self, points, levels):
        if len(points) < MOST:
            raise ValueError(f"no curve of {self}")
        return np.repeat(points, len(levels), 1), np.repeat(levels[None, :], len(points), 0)
"""


def warned(folder: Path, text: str) -> tuple[str, ...]:
    return read(folder, text).warnings


def test_an_option_of_a_surrogate_that_no_variant_takes(tmp_path):
    text = f'{TOP}variants = [{{type = "fifo"}}]\n{CURVES}'
    (line,) = warned(tmp_path, text.replace('9"}', '9", grace_period = 3}'))
    assert line.startswith("line 5: surrogates.0.grace_period = 3: is taken by no variant")
    taken = text.replace('{type = "fifo"}', '{type = "fifo"}, {type = "promotion"}')
    assert warned(tmp_path, taken.replace('9"}', '9", grace_period = 3}')) == ()


def test_variants_that_are_the_same_are_one_row_under_both_names(tmp_path):
    kinds = ['type = "stopping"', 'type = "stopping", brackets = 1', 'type = "stopping", brackets = 2']
    text = f"{TOP}variants = [{', '.join(f'{{{kind}}}' for kind in kinds)}]\n{CURVES}"
    plan = read(tmp_path, text)
    assert [one.name for one in plan.variants] == ["stopping (= brackets=1)", "stopping,brackets=2"]
    assert plan.variants[0].names == ("stopping", "stopping,brackets=1")
    assert set(plan.cells["variant"]) == {"stopping (= brackets=1)", "stopping,brackets=2"}
    override = 'override = [{where = {variant = "stopping"}, set = {retries = 1}}]\n'
    assert len(read(tmp_path, text + override).variants) == 3


def test_curves_that_are_taken_the_wrong_way(tmp_path):
    text = f'{TOP}variants = [{{type = "fifo"}}]\nsurrogates = [{{surrogate = "digits", mode = "MODE"}}]\n'
    (line,) = warned(tmp_path, text.replace("MODE", "max"))
    assert line == "digits: val_error is taken with mode='max', and the file says 'min'"
    assert warned(tmp_path, text.replace("MODE", "min")) == ()


@pytest.mark.parametrize("most", [257, 1001])  # of what tells curves from others, and of the guesses
def test_curves_that_raise_before_anything_runs(most, tmp_path):
    (tmp_path / "own.py").write_text(CRASH.replace("MOST", str(most)))
    text = f'{TOP}variants = [{{type = "fifo"}}]\nsurrogates = [{{surrogate = "own.py:Crash"}}]\n'
    with pytest.raises(ParameterError) as caught:
        read(tmp_path, text)
    assert "Crash: evaluate raised ValueError: no curve of <Crash object> (own.py, line 11)" in str(
        caught.value
    )
    assert str(caught.value).endswith("; return NaN where a run diverges")


def test_an_error_is_the_same_wherever_the_file_is(tmp_path):
    errors = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "own.py").write_text(CRASH.replace("MOST", "100"))
        text = f'{TOP}variants = [{{type = "fifo"}}]\nsurrogates = [{{surrogate = "own.py:Crash"}}]\n'
        (study,) = read(folder, text).studies
        errors.append(run_studies([(study, False)])["cells"]["error"][0])
    assert errors[0] == errors[1]
    assert errors[0].startswith("Crash: evaluate raised ValueError: no curve of <Crash object> (own.py, line")


def test_chunks_are_as_many_as_the_places_need(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(Pool, "imap", lambda pool, function, chunks: sizes.append(chunks) or ())
    sweep = read(tmp_path, SMALL.replace("seeds = 3", "seeds = 16"))  # 96 cells
    for jobs, count in ((6, 48), (2, 16), (1, 12)):
        run_plan(sweep, tmp_path / "out", "hbsim sweep study.toml", jobs)
        assert len(sizes.pop()) == count
