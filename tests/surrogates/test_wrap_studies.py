"""Wrapped curves in studies, in comparisons and on the command line; and what their page shows."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from hbsim import make_scheduler, simulate
from hbsim.cli.main import app
from hbsim.errors import ParameterError
from hbsim.surrogates import Corrupted, Delayed, Negated, Noisy, ScaledCost, load
from tests.bench.sweep.made import left
from tests.profile import examples
from tests.surrogates.stacks import words
from tests.surrogates.test_wrappers import CLASSES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "wrappers.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```python\n(.*?)```\s*```text\n(.*?)```", flags=re.DOTALL)
SMALL = ("--surrogate", "synthetic:max_resource=9", "--workers", "4")
WRAPS = ("--wrap", "noise:std=0.05,fade=true", "--wrap", "corrupt:share=0.3,seed=1", "--wrap", "negate")


def study(surrogate, type_="promotion", trials=60, seed=0, max_t=9):
    scheduler = make_scheduler(type_, max_t=max_t, num_trials=trials, mode=surrogate.mode, seed=seed)
    return simulate(scheduler, surrogate, workers=4, seed=seed)


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments))


@settings(max_examples=examples(25))
@given(st.lists(words("synthetic"), max_size=3), st.sampled_from(["synthetic:max_resource=9", "digits"]))
def test_regret_is_the_distance_from_an_optimum_that_nothing_beats(wraps, base):
    curves = load(base)
    for name, options in wraps:
        if base == "digits" and "parameter" in options:
            options = {**options, "parameter": "lr" if options["parameter"] else None}
        curves = CLASSES[name](curves, **options)
    result = study(curves)
    regret, best = result.summary()["regret"], curves.optimum(9.0)
    last = result.incumbent().tail(1)["trial"].to_list()
    shown = result.values_at_max(last)
    if best is None or not np.isfinite(shown).all() or not last:
        assert regret is None
    else:
        assert regret == (best - shown[0] if curves.mode == "max" else shown[0] - best)
        assert regret >= 0


@pytest.mark.parametrize("base", ["synthetic:max_resource=9,divergence=0", "digits"])
def test_the_same_configurations_fail_under_every_scheduler(base):
    corrupted = Corrupted(base, share=0.25)
    failed = []
    for type_ in ("stopping", "promotion", "hyperband", "fifo"):
        result = study(corrupted, type_)
        first = result.decisions.unique("trial", keep="first").sort("trial")
        inside = corrupted.in_region(result.curves.configurations())[first["trial"]]
        plain = load(base).evaluate(result.curves.configurations(), np.array([1.0]))[0]
        assert not np.isnan(plain).any()
        assert first["value"].is_null().to_list() == inside.tolist()
        failed.append(set(first["trial"].filter(first["value"].is_null())))
        bad = result.trials.filter(result.trials["trial"].is_in(list(failed[-1])))
        assert bad["best"].null_count() == len(bad)
    assert failed[0]
    assert all(one == failed[0] for one in failed)


def test_a_space_with_few_levels(yahpo_data):
    wraps = ["delay:units=2.5", "corrupt:share=0.4,parameter=num_layers", "cost:spread=5,parameter=max_units"]
    plain, made = (load("yahpo:lcbench/33", yahpo_data=yahpo_data, wrap=some) for some in ((), wraps))
    points = plain.space.sample(50, np.random.default_rng(0))
    levels = np.array([1.0, 3.0, 7.0])
    values, seconds = made.evaluate(points, levels)
    before = plain.evaluate(points, np.array([1.0, 4.0, 5.0]))[0]
    expected = np.stack([before[:, 0], before[:, 0], (before[:, 1] + before[:, 2]) / 2], axis=1)
    deep = plain.space.decode(points)["num_layers"] >= 4
    assert 0 < deep.sum() < 50
    assert np.isnan(values[deep]).all()
    np.testing.assert_allclose(values[~deep], expected[~deep])
    units, range_ = plain.space.decode(points)["max_units"], plain.space["max_units"]
    low, high = np.log([range_.low - 0.5, range_.high + 0.5])  # it is a whole number on a logarithmic scale
    factors = 2 / 6 * (1 + 4 * (np.log(units) - low) / (high - low))
    np.testing.assert_allclose(seconds, plain.evaluate(points, levels)[1] * factors[:, None])
    assert made.optimum(7.0) is None


def test_a_study_on_text_is_the_study_on_objects():
    texts = ["delay:units=2", "cost:factor=3,spread=4", "noise:std=0.1,seed=5", "corrupt:share=0.2", "negate"]
    made = Negated(
        Corrupted(
            Noisy(ScaledCost(Delayed("digits", units=2), factor=3, spread=4), std=0.1, seed=5), share=0.2
        )
    )
    one, two = study(load("digits", wrap=texts)), study(made)
    assert one.summary() == two.summary()
    assert one.summary()["surrogate"] == " + ".join(["digits", *texts])
    for name in ("jobs", "decisions", "trials"):
        assert_frame_equal(getattr(one, name), getattr(two, name))


def test_negated_curves_decide_the_same():
    one, two = study(load("digits")), study(Negated("digits"))
    assert_frame_equal(one.jobs.drop("value"), two.jobs.drop("value"))
    assert one.summary()["regret"] == two.summary()["regret"]


def test_comparisons_are_the_same_in_any_number_of_processes(tmp_path):
    command = ("compare", "--variant", "stopping", "--variant", "promotion", "--trials", "12", "--seeds", "2")
    for jobs in ("1", "2"):
        ran = invoke(*command, *SMALL, *WRAPS, "--jobs", jobs, "--out", str(tmp_path / jobs))
        assert ran.exit_code == 0, ran.stderr
    assert left(tmp_path / "1") == left(tmp_path / "2")
    content = json.loads((tmp_path / "1" / "sweep.json").read_text())
    (task,) = content["tasks"]
    assert (task["metric"], task["mode"]) == ("-accuracy", "min")
    assert (
        "--wrap noise:std=0.05,fade=true --wrap corrupt:share=0.3,seed=1 --wrap negate" in content["command"]
    )


def test_simulate_and_run_take_the_same_wrappers(tmp_path):
    train = tmp_path / "train.py"
    train.write_text("import hbsim\n\n@hbsim.args(x=hbsim.Real(0, 1))\ndef train_fn(args, reporter): ...\n")
    words_ = ("--scheduler", "promotion", "--max-t", "9", "--trials", "30", "--workers", "4")
    words_ += ("--surrogate", "synthetic:max_resource=9,mode=max", *WRAPS, "--json")  # one of them negates
    one = json.loads(invoke("simulate", *words_).stdout)["summary"]
    sim = ("--executor", "sim", "--mode", "min")
    two = json.loads(invoke("run", f"{train}:train_fn", *sim, *words_).stdout)["summary"]
    assert {name: two[name] for name in one} == {**one, "metric": "accuracy"}
    curves = load("synthetic:max_resource=9", wrap=list(WRAPS[1::2]))
    assert one["best"] == study(curves, trials=30).summary()["best"]


def test_surrogates_shows_what_a_wrapper_does_to_ranks():
    plain, noisy = (
        json.loads(invoke("surrogates", "--json", *more).stdout)["surrogates"]
        for more in ((), ("--wrap", "noise:std=0.2"))
    )
    assert [one["name"] for one in noisy] == [f"{one['name']} + noise:std=0.2" for one in plain]
    assert all(a["correlations"][0] > b["correlations"][0] for a, b in zip(plain, noisy, strict=True))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("nois", "is no wrapper: one of noise, negate, cost, corrupt, delay, half. Did you mean 'noise'?"),
        ("", "is no wrapper"),
        ("noise:st=1", "'st' is no option of noise: std, fade, seed. Did you mean 'std'?"),
        ("noise:std", "std needs a value"),
        ("noise:std=much", "std must be a number"),
        ("noise:seed=1.5", "seed must be a whole number"),
        ("noise:seed=-1", "seed must lie in"),
        ("noise:fade=yes", "fade must be true or false"),
        ("negate:by=2", "'by' is no option of negate: it has none."),
        ("corrupt:share=2", "share must be below 1"),
        ("corrupt:share=0.1,share=0.2", "share must not be given twice"),
        ("corrupt:parameter=lerning_rate", "Did you mean 'learning_rate'?"),
        ("delay:units=8", "units must be below 8"),
    ],
)
def test_a_bad_wrapper_is_one_line(text, rule):
    with pytest.raises(ParameterError) as error:
        load("synthetic:max_resource=9", wrap=[text])
    assert (error.value.field, error.value.value) == ("wrap", text)
    assert rule in error.value.rule
    ran = invoke("simulate", "--scheduler", "promotion", "--trials", "9", *SMALL, "--wrap", text)
    assert ran.exit_code == 2
    [line] = ran.stderr.splitlines()
    assert line.startswith("hbsim: error: --wrap ")
    assert rule in line


def test_wrappers_are_text_and_one_may_stand_alone():
    assert load("ideal", wrap="negate").name == load("ideal", wrap=["negate"]).name == "ideal + negate"
    assert load("ideal", wrap=[]) is not None
    with pytest.raises(ParameterError, match="wrap=3: must be text"):
        load("ideal", wrap=[3])


@pytest.mark.parametrize(
    "block", list(BLOCK.finditer(PAGE)), ids=lambda block: PAGE[: block.start()].count("\n")
)
def test_the_code_of_the_page_prints_what_it_says(block, capsys):
    exec(compile(block[1], "docs/reference/wrappers.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == block[2]


def test_the_page_has_the_options_and_defaults_of_the_code():
    for name, kind in CLASSES.items():
        [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | `{kind.__name__}`")]
        shown = dict(re.findall(r"`(\w+)(?:=([\w.]+))?`", line.rsplit("|", 2)[1]))
        defaults = kind.__init__.__kwdefaults__ or {}
        written = {key: "" if v is None else str(v).lower().removesuffix(".0") for key, v in defaults.items()}
        assert shown == written
