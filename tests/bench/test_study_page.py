"""The page of a study: what it holds, that nothing reaches out, and how a browser draws it."""

from __future__ import annotations

import base64
import html
import json
import re
import sys
import zlib

import altair as alt
import pytest

import hbsim
from hbsim.bench.study_page import render_study
from hbsim.study.status import read_status
from tests.bench.report.conftest import browser  # noqa: F401 (a fixture)
from tests.profile import thorough
from tests.study.made import Made

EVIL = "</script><img src=x onerror=alert(1)>"


def curve(trial, epoch):
    return 1 - abs((trial % 10) / 10 - 0.7) - 1 / (epoch + 1) - trial * 1e-6


def make(folder, trials=60, workers=4, **options):
    made = Made(folder, num_trials=trials, **options)
    made.play(workers, curve, fails=lambda trial, resource: trial == 5 and resource == 1)
    made.result(workers)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("study") / "exp", brackets=2)


@pytest.fixture(scope="module")
def page(folder):
    return hbsim.load(folder).page(folder.parent / "page.html")


def packed(page):
    """Read the charts and tables of a page."""
    text = re.search(r'id="data-study">([^<]*)<', page)[1]
    return json.loads(zlib.decompress(base64.b64decode(text)))


def test_the_page_has_charts_and_says_why_of_each_trial(page, folder):
    result, content = hbsim.load(folder), packed(page)
    assert (folder.parent / "page.html").read_text("utf-8") == page
    assert {"curves", "parallel", "importance", "slice0", "slice1", "workers"} < content.keys()
    (table,) = content["tables"]
    rows = re.findall(r"<tr>(?!<th)(.*?)</tr>", table)
    assert len(rows) == 60
    best = result.summary()["best_trial"]
    assert rows[0].startswith(f'<td class="number">{best}</td>')
    for trial in (best, 5, 30):
        assert result.scheduler.explain(trial).text in table
    assert result.summary()["best"] == pytest.approx(
        float(re.search(r"accuracy ([\d.]+): trial", page)[1]), 1e-4
    )
    assert "ValueError: no" in page
    assert 'http-equiv="refresh"' not in page


def test_texts_of_others_are_escaped(tmp_path):
    made = Made(tmp_path / "exp", num_trials=6, reward=EVIL)
    made.play(2, curve)
    made.result(2)
    page = render_study(read_status(tmp_path / "exp"), 10)
    assert EVIL not in page
    assert page.count('http-equiv="refresh" content="10"') == 1


def test_in_a_browser(browser, page, folder):  # noqa: F811
    url = browser.write(page)
    for width, colours in ((1280, "light"), (390, "dark")):
        features = [{"name": "prefers-color-scheme", "value": colours}]
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.size(width, 12_000)
        browser.open(url)
        browser.unfold()
        assert browser.complaints() == []
        assert browser.requests() <= {url, "data:,"}
        assert browser.run("return document.querySelectorAll('.failed').length") == 0
        assert browser.run("return document.scrollingElement.scrollWidth - innerWidth") <= 0
        assert "NaN" not in browser.run("return document.querySelector('main').innerText")
        assert browser.marks("study/parallel", "line") >= 50
        assert browser.marks("study/slice0", "symbol") >= 50
        assert browser.marks("study/workers", "rect") > 0
        browser.wait_for("return document.querySelectorAll('[data-tables] tbody tr').length === 60")


def test_without_optuna_a_line_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna.importance", None)
    page = render_study(read_status(folder))
    assert "importance" not in packed(page)
    assert "pip install" in page


def test_what_a_notebook_shows_is_drawn(browser, folder):  # noqa: F811
    browser.size(900)
    browser.open(browser.write(hbsim.load(folder)._repr_html_()), is_drawn=False)
    assert browser.complaints() == []
    assert browser.run("return document.images[0].decode().then(() => document.images[0].naturalWidth)") > 500
    assert browser.run("return document.querySelectorAll('td').length") == 5 * len(
        browser.run("return [...document.querySelectorAll('th')].map(one => one.textContent)")
    )


def test_notebooks_show_a_table_and_plots(folder):
    result = hbsim.load(folder)
    shown = result._repr_html_()
    assert shown.count("<tr>") == 6
    assert f"trial {result.summary()['best_trial']} at epoch" in shown
    assert isinstance(result.plot(), alt.LayerChart)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_captions_count_trials_beyond_the_axis(tmp_path, mode):
    sign = 1 if mode == "max" else -1

    def far(trial, epoch):
        return sign * (-1e6 if trial in (7, 9) else curve(trial, epoch))

    made = Made(tmp_path / "exp", num_trials=40, mode=mode)
    made.play(4, far)
    page = html.unescape(made.result(4).page())
    side = "below" if mode == "max" else "above"
    found = re.findall(
        r"2 trials (are|have values) beyond the axis,[^<;]* " + side + r" [^<;]*; ([^<]*)<", page
    )
    assert found == [
        ("have values", "these are not drawn."),
        ("are", "they are drawn at its end."),
        ("are", "they are not drawn."),
    ]
    bound = "≤ " if mode == "max" else "≥ "
    charts = packed(page)
    labels = [
        row["label"] for rows in charts["parallel"]["datasets"].values() for row in rows if "label" in row
    ]
    assert len([label for label in labels if label.startswith(bound)]) == 1
    assert f"'{bound}'" in json.dumps(charts["parallel"], ensure_ascii=False)
    assert "reached 1" in json.dumps(charts["slice0"])


def test_jobs_of_an_earlier_session_were_interrupted(tmp_path):
    made = Made(tmp_path / "exp", "fifo", num_trials=1, max_t=2)
    made.rows(made.start(0, 1.0), [(1, 0.5)], 2.0)
    made.gone(0, 3.0)
    made.close("max_time")
    text = json.dumps(packed(made.result(1).page())["workers"])
    assert "interrupted (1)" in text
    assert "under way" not in text


@thorough
def test_a_big_study_is_thinned(tmp_path):
    page = render_study(read_status(make(tmp_path / "exp", trials=10_000, workers=100)))
    assert len(page) < 5_000_000
    assert "300 of 10,000 trials" in page or "300 of 9,999 trials" in page
    assert packed(page)["tables"][0].count("<tr>") == 10_001
