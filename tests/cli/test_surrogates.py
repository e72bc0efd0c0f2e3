"""``hbsim surrogates``: what there is."""

from __future__ import annotations

import json

from hbsim.surrogates import available, describe, load


def test_lists_all_that_ships(inside):
    code, out, err = inside("surrogates")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == available()
    assert "1,000" in out


def test_json(inside):
    told = json.loads(inside("surrogates", "--json").out)
    assert told["schema"] == 1
    assert [one["name"] for one in told["surrogates"]] == available()
    digits = told["surrogates"][0]
    assert digits["bytes"] > 0
    assert digits["rows"] == 1000
    assert digits["correlations"] == list(describe(load("digits")).correlations)


def test_one_in_full(inside):
    out = inside("surrogates", "synthetic:noise=0.1").out
    assert "learning_rate, weight_decay" in out
    assert "ranks at 27" in out


def test_a_file_with_its_options(inside, tmp_path):
    lines = [f"{c},{s},{c + 1 / s}" for c in range(4) for s in (1, 2, 3)]
    (tmp_path / "mine.csv").write_text("\n".join(["config,step,loss", *lines]))
    told = json.loads(
        inside(
            "surrogates", "mine.csv", "--metric", "loss", "--mode", "min", "--seconds-per-unit", "2", "--json"
        ).out
    )
    [mine] = told["surrogates"]
    assert (mine["rows"], mine["fidelities"], mine["mode"]) == (4, 3, "min")
    assert mine["bytes"] == (tmp_path / "mine.csv").stat().st_size
    refused = inside("surrogates", "mine.csv", "--metric", "loss", "--mode", "min")
    assert refused.code == 2
    assert refused.err.startswith("hbsim: error: --seconds-per-unit: is needed: mine.csv")


def test_equal_values_have_no_rank_correlation(inside, tmp_path):
    lines = [f"{c},{s},{s},1" for c in range(4) for s in (1, 2, 3)]
    (tmp_path / "flat.csv").write_text("\n".join(["config,step,seconds,loss", *lines]))
    words = ("surrogates", "flat.csv", "--metric", "loss", "--mode", "min")
    assert "ranks at 1           -" in inside(*words).out
    told = json.loads(inside(*words, "--json").out)
    assert told["surrogates"][0]["correlations"] == [None, None]
