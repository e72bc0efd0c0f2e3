"""``hbsim surrogates``: what there is."""

from __future__ import annotations

import json

from hbsim.surrogates import available, describe, load


def test_lists_all_that_ships(call):
    code, out, err = call("surrogates")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == available()
    assert "1,000" in out


def test_json(call):
    printed = json.loads(call("surrogates", "--json").out)
    assert printed["schema"] == 1
    assert [one["name"] for one in printed["surrogates"]] == available()
    digits = next(one for one in printed["surrogates"] if one["name"] == "digits")
    assert digits["bytes"] > 0
    assert digits["rows"] == 1000
    assert digits["correlations"] == list(describe(load("digits")).correlations)


def test_one_in_full(call):
    out = call("surrogates", "synthetic:noise=0.1").out
    assert "learning_rate, weight_decay" in out
    assert "ranks at 27" in out


def test_a_file_with_its_options(call, tmp_path):
    lines = [f"{c},{s},{c + 1 / s}" for c in range(4) for s in (1, 2, 3)]
    (tmp_path / "mine.csv").write_text("\n".join(["config,step,loss", *lines]))
    printed = json.loads(
        call(
            "surrogates", "mine.csv", "--metric", "loss", "--mode", "min", "--seconds-per-unit", "2", "--json"
        ).out
    )
    [mine] = printed["surrogates"]
    assert (mine["rows"], mine["fidelities"], mine["mode"]) == (4, 3, "min")
    assert mine["bytes"] == (tmp_path / "mine.csv").stat().st_size
    refused = call("surrogates", "mine.csv", "--metric", "loss", "--mode", "min")
    assert refused.code == 2
    assert refused.err.startswith("hbsim: error: --seconds-per-unit: is needed: mine.csv")


def test_equal_values_have_no_rank_correlation(call, tmp_path):
    lines = [f"{c},{s},{s},1" for c in range(4) for s in (1, 2, 3)]
    (tmp_path / "flat.csv").write_text("\n".join(["config,step,seconds,loss", *lines]))
    words = ("surrogates", "flat.csv", "--metric", "loss", "--mode", "min")
    assert "ranks at 1           -" in call(*words).out
    printed = json.loads(call(*words, "--json").out)
    assert printed["surrogates"][0]["correlations"] == [None, None]
