"""The page in a browser: drawn without a complaint or a request, filters, names, phones, paper, no script."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from urllib.parse import urlencode

import numpy as np
import pytest
from hbsim.bench.report.tables_marks import MARKS
from hbsim.bench.report.tables_numbers import decimals, interval, p_value

from hbsim.bench.report.figures_parts import PARTS
from hbsim.bench.report.page import render
from hbsim.bench.statistics import Interval
from tests.bench.report.browser import Browser
from tests.bench.report.example import LEVELS, example, poisoned, without_results

EVIL = (
    "</script><img src=x onerror=alert(1)>",
    "<b>bold</b> & <a href='javascript:alert(1)'>x</a>",
    "%{y} &lt;i&gt;",
)

LAST = ("tasks", "variants", "missing", "again")


def at(url, task):
    """Return the address of a task in a page."""
    names = {"surrogate": task.surrogate, "cluster": task.cluster, "workers": task.workers}
    return f"{url}#{urlencode(names)}"


@pytest.fixture(scope="module")
def small():
    return example(points=50, segments=60)


@pytest.fixture(scope="module")
def url(browser: Browser, small) -> str:
    return browser.write(render(small))


def test_charts_are_drawn_without_a_complaint_or_a_request(browser, url):
    browser.open(url)
    charts = browser.run("""return [...document.querySelectorAll('.plot')].map((box) =>
        [box.id, box.querySelectorAll('.main-svg').length, (box.data || []).length])""")
    assert len(charts) == 9  # eight, and a heatmap
    assert all(pictures > 0 and traces > 0 for _, pictures, traces in charts)
    assert browser.complaints() == []
    assert {request.partition(":")[0] for request in browser.requests()} <= {"file", "data"}


def _axis(browser):
    return browser.run("""const {type, range} = document.getElementById('anytime-chart')._fullLayout.yaxis;
        return [type, ...range]""")


def test_curves_show_the_report(browser, url, small):
    browser.show(url + "#x=linear&y=linear")
    task = small.tasks[0]
    lines = {line.variant: line for line in task.anytime}
    traces = browser.traces("anytime-chart")
    shown = {trace["name"]: trace for trace in traces if trace["mode"] != "lines"}
    for name, line in lines.items():
        np.testing.assert_allclose(shown[name]["y"], line.mean, rtol=1e-3)
        np.testing.assert_allclose(shown[name]["x"], np.array(line.x) / 60, rtol=1e-3)
    close = [row.variant for row in task.rows if row.call in ("best", "too close to call")]
    assert len(traces) == len(lines) + 2 * min(4, len(close))  # a band of the best four, in two traces
    assert list(shown) == [row.variant for row in reversed(task.rows)]  # the best on top
    assert _axis(browser) == ["linear", 0, 1.1]
    assert "The axis ends at 1.1." in browser.text("#anytime-note")
    browser.choose("#pick-bands", "none")
    assert len(browser.traces("anytime-chart")) == len(lines)


def test_on_logarithmic_axes_what_is_0_is_at_the_edge(browser, url, small):
    browser.show(url + "#y=log")
    for chart, lines in (("anytime", small.tasks[0].anytime), ("reached", small.tasks[0].reached)):
        first = min(x for x in lines[0].x if x > 0) / 60
        for trace in browser.traces(f"{chart}-chart"):
            np.testing.assert_allclose(trace["x"][:2], [first, first], rtol=1e-3)
    browser.show(at(url, small.tasks[1]) + "&y=linear")
    browser.choose("#pick-y", "logarithmic")
    least = min(min(line.mean) for line in small.tasks[1].anytime)
    assert _axis(browser)[0] == "log"
    assert math.log10(least) - 0.2 < _axis(browser)[1] < math.log10(least)


def test_tables_show_the_report(browser, url, small):
    browser.show(url)
    task = small.tasks[0]
    assert browser.column("#task-table", 1) == [row.variant for row in task.rows]
    assert browser.column("#task-table", 2) == [
        f"{MARKS.get(row.call, '')} {row.call}".strip() for row in task.rows
    ]
    scores, areas = [row.score for row in task.rows], [row.area for row in task.rows]
    assert browser.column("#task-table", 3) == [interval(one, decimals(scores)) for one in scores]
    assert browser.column("#cost-table", 2) == [interval(one, decimals(areas)) for one in areas]
    assert browser.column("#task-table", 5) == [p_value(row.p) for row in task.rows]
    recorded = {(row.variant, f"{row.level:g}"): row.recorded for row in task.rungs if row.bracket == 0}
    rows = zip(*(browser.column("#rungs-table", i) for i in range(4)), strict=True)
    shown = {
        (name, level): int(count.replace(",", "")) for name, bracket, level, count in rows if bracket == "0"
    }
    assert shown == recorded
    segments = sum(len(trace["base"]) for trace in browser.traces("timeline-chart"))
    assert segments == len(task.timelines[0].segments)


def test_what_is_lost_and_where_the_regret_came_from(browser, url, small):
    browser.show(url)
    task = small.tasks[0]
    cells = browser.run("return document.getElementById('losses-chart').data[0].z")
    loss = {(row.variant, row.level): row.loss for row in task.rungs if row.bracket == 0}
    wanted = [[loss.get((row.variant, level), np.nan) for level in LEVELS[:-1]] for row in task.rows]
    np.testing.assert_allclose(np.array(cells, dtype=float)[:, : len(LEVELS) - 1], wanted, rtol=1e-3)
    totals = {one.variant: one.sampling + one.decisions + one.unfinished + one.choice for one in task.regrets}
    shown = browser.traces("regrets-chart")[-1]
    assert shown["name"] == "total"
    np.testing.assert_allclose(shown["x"], sorted(totals.values()), rtol=1e-3)


def test_another_task_changes_tables_and_charts_and_the_address(browser, url, small):
    browser.show(url)
    browser.choose("#pick-surrogate", "lcbench/adult")
    browser.choose("#pick-workers", "32")
    wanted = next(t for t in small.tasks if (t.surrogate, t.workers) == ("lcbench/adult", 32))
    assert browser.text("#task-name") == wanted.name
    assert browser.column("#task-table", 1) == [row.variant for row in wanted.rows]
    means = [trace["x"][0] for trace in browser.traces("intervals-chart")]
    np.testing.assert_allclose(means, [row.score.mean for row in wanted.rows], rtol=1e-3)
    assert "All settings" in browser.text(".across:not([hidden]) h3")
    browser.choose("#pick-over", "the chosen task’s setting")
    browser.choose("#pick-measure", "Regret averaged over time")
    address = browser.driver.current_url
    browser.show(url)
    assert browser.text("#task-name") == small.tasks[0].name
    browser.show(address)
    assert browser.text("#task-name") == wanted.name
    areas = [trace["x"][0] for trace in browser.traces("intervals-chart")]
    np.testing.assert_allclose(areas, sorted(row.area.mean for row in wanted.rows), rtol=1e-3)
    assert wanted.setting in browser.text(".across:not([hidden]) h3")
    across = next(a for a in small.across if (a.setting, a.measure) == (wanted.setting, "area"))
    assert browser.column(".across:not([hidden])", 0) == list(across.variants)


def test_variants_are_hidden_and_shown_by_keyboard(browser, url, small):
    browser.show(url)
    names = [variant.name for variant in small.variants]
    gone = names[1]
    browser.press("#pick-variants summary", " ")
    browser.press("#variant-boxes input[value='1']", " ")
    assert browser.text("#variants-count") == "4 of 5"
    boxes = ("#task-table", "#duels-table", "#rungs-table", "#shares-table", ".across:not([hidden])")
    for box, column in zip(boxes, (1, 0, 0, 0, 0), strict=True):
        assert gone not in browser.column(box, column)
    for chart in ("anytime", "reached", "intervals"):
        assert gone not in [trace["name"] for trace in browser.traces(f"{chart}-chart")]
    assert (
        browser.run(
            "return getComputedStyle(document.querySelector('.across svg [data-variant=\"1\"]')).display"
        )
        == "none"
    )
    for chart in ("losses", "regrets", "shares"):
        ticks = browser.run(f"return document.querySelectorAll('#{chart}-chart .ytick text').length")
        assert ticks == len(names) - 1
    assert urlencode({"hide": gone}) in browser.driver.current_url
    browser.press("#curves .toggles button[value='1']", "\ue007")  # Enter
    assert browser.text("#variants-count") == "all 5"
    assert gone in browser.column("#task-table", 1)
    browser.press("#pick-variants summary", " ")  # it closed with the click elsewhere
    lit = "return [...document.querySelectorAll('#anytime-chart .trace')].map((one) => +one.style.opacity)"
    browser.run("document.querySelector('#curves .toggles button').focus()")
    pale = [opacity for opacity in browser.run(lit) if opacity < 0.2]
    assert len(pale) >= len(names) - 1
    browser.run("document.activeElement.blur()")
    assert min(browser.run(lit)) > 0.5
    browser.press("#find-variant", "PROMOTION")
    assert browser.column("#task-table", 1) == [name for name in names if "promotion" in name]


def test_columns_sort_and_contents_keep_what_is_chosen(browser, url, small):
    browser.show(at(url, small.tasks[1]))
    browser.press("#task-table thead th:nth-child(2) button", "\ue007")
    assert browser.column("#task-table", 1) == sorted(variant.name for variant in small.variants)
    assert browser.run("return document.activeElement.textContent") == "Variant"
    browser.press("#contents a[href='#time']", "\ue007")
    assert browser.driver.current_url.startswith(at(url, small.tasks[1]))
    assert 0 <= browser.run("return document.getElementById('time').getBoundingClientRect().top") < 200
    browser.show(
        url + "#surrogate=gone&hide=77&measure=no&bracket=-1&at=%3Cb%3E&timeline=x"
    )  # an address that makes no sense
    assert browser.text("#task-name") == small.tasks[0].name
    assert browser.complaints() == []


def test_paper(browser, url):
    browser.show(url)
    pdf = base64.b64decode(
        browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    )
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") > 5
    browser.run("dispatchEvent(new Event('beforeprint'))")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        widths = browser.run(
            "return [...document.querySelectorAll('.plot')].map((box) => box._fullLayout.width)"
        )
        assert set(widths) == {680}
        assert (
            browser.run("return [...document.querySelectorAll('main details:not(.drop):not([open])')].length")
            == 0
        )
        assert browser.run("return getComputedStyle(document.getElementById('filters')).display") == "none"
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("return document.getElementById('groups').open") is False
    assert browser.complaints() == []


def test_dark(browser, url):
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.show(url)
    ink = "return document.querySelector('#anytime-chart .xtitle').style.fill"
    light = browser.run(ink)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    try:
        browser.wait_for(f"{ink} !== arguments[0]", light)
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_can_be_used_with_a_screen_reader(browser, url):
    browser.show(url)
    assert browser.run("return document.documentElement.lang") == "en"
    faults = browser.run("""
        const all = (selector) => [...document.querySelectorAll(selector)];
        const named = (one) => document.getElementById(one.getAttribute('aria-labelledby'));
        const told = (one) => one.ariaHidden || one.ariaLabel;
        const led = (one) => one.hash.includes('=') || document.querySelector(one.hash);
        const ids = all('[id]').map((one) => one.id).filter((id) => !id.includes('clip') && id);
        return [
            all('main th:not([scope])').length,
            all('main table').filter((one) => !one.caption || !one.caption.textContent).length,
            all('main select, main input').filter((one) => !one.labels.length).length,
            all('.plot:not(.empty), .scroll, svg[role=img], form').filter((one) => !one.ariaLabel).length,
            all('main svg:not(.plot svg), svg.marks').filter((one) => !told(one)).length,
            all('section').filter((one) => !named(one)).length,
            all('a[href^="#"]').filter((one) => !led(one)).length,
            all('h1').length - 1,
            ids.length - new Set(ids).size,
        ]""")
    assert faults == [0] * len(faults)


def test_names_are_shown_as_they_are_and_do_nothing_on_a_thinned_page(browser):
    names = (*EVIL, "x" * 300, "3", "2020-01-01", "", "\u202eabc")
    report = poisoned(example(2, (1000,), variants=9, names=names, points=40), "<img src=x>")
    page = render(report, limit=len(render(report).encode()) - 20_000)
    browser.size(820)
    browser.open(browser.write(page, "evil.html"))
    assert browser.complaints() == []  # an alert would have stopped the wait
    assert browser.run("return document.querySelectorAll('img, .plot a, b').length") == 0
    assert browser.column("#task-table", 1) == [row.variant for row in report.tasks[0].rows]
    assert browser.text("#task-notes") == report.tasks[0].notes[0]
    ticks = browser.run("""return [...document.querySelectorAll('#regrets-chart .ytick text')]
        .map((text) => [...text.childNodes].filter((one) => one.nodeName !== 'title'))
        .map((parts) => parts.map((one) => one.textContent).join(''))""")
    assert f"<img src=x>{EVIL[2]}" in ticks
    assert all(tick.startswith("<img src=x>") for tick in ticks)
    assert "To keep this page small" in browser.text(".notes")
    _is_sound(browser)


def _is_sound(browser):
    assert browser.complaints() == []
    words = browser.run("return document.querySelector('main').innerText")
    assert "NaN" not in words
    assert "undefined" not in words
    assert browser.run("return document.scrollingElement.scrollWidth - innerWidth") <= 0
    wide = browser.run("""return [...document.querySelectorAll('.plot .main-svg')]
        .filter((one) => one.getBoundingClientRect().right > innerWidth).length""")
    assert wide == 0


def _tenth(whole):
    return Interval(whole.mean / 10, whole.low / 10, whole.high / 10)


def _small_regrets(task):
    """Return the task with a tenth of its regrets, that end at 0."""
    rows = tuple(replace(row, score=_tenth(row.score)) for row in task.rows)
    lines = tuple(replace(line, mean=(*(y / 10 for y in line.mean[:-1]), 0.0)) for line in task.anytime)
    return replace(task, rows=rows, anytime=lines)


def test_tasks_that_lack_much_on_a_phone(browser):
    made = example(1, (1, 2, 3, 4), points=9, segments=9)
    none = {"rungs": (), "regrets": (), "brackets": (), "shares": (), "timelines": ()}
    bare = replace(made.tasks[1], anytime=(), reached=(), **none)
    one = {name: getattr(made.tasks[3], name)[:1] for name in ("rows", "anytime", "reached", *none)}
    tasks = (
        without_results(made).tasks[0],
        bare,
        replace(made.tasks[3], **one),
        _small_regrets(made.tasks[2]),
    )
    report = replace(made, tasks=tasks, heatmaps=())
    browser.size(360)
    browser.open(browser.write(render(report), "lacks.html"))
    page = browser.driver.current_url
    for task in range(4):
        browser.show(at(page, tasks[task]))
        _is_sound(browser)
    assert _axis(browser)[0] == "log"
    assert "Means of 0 are drawn at the lower edge." in browser.text("#anytime-note")
    ends = [
        trace["y"][-1] for trace in browser.traces("anytime-chart") if trace["name"] not in ("low", "band")
    ]
    np.testing.assert_allclose(np.log10(ends), _axis(browser)[1])
    browser.choose("#pick-y", "linear")
    assert _axis(browser)[0] == "linear"
    _has_no_ranking_over_tasks(browser)


def _has_no_ranking_over_tasks(browser):
    shown = browser.run("""return [...document.querySelectorAll('main > section')]
        .filter((one) => one.offsetHeight).map((one) => one.id)""")
    assert shown == ["summary", "glance", "notes", "task", "curves", "decisions", "brackets", "time", *LAST]
    links = browser.run("""return [...document.querySelectorAll('#contents a')]
        .filter((one) => one.offsetHeight).map((one) => one.hash.slice(1))""")
    assert links == [name for name in shown[1:] if name != "notes"]


def test_without_a_script_what_came_out_can_be_read(browser, small):
    still = browser.write(render(small), "still.html")
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(still, is_drawn=False)
        text = browser.find("body").text
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "Early decisions" not in text
    for wanted in (small.summary[0], "critical difference", "Mean rank", *small.commands.values()):
        assert wanted in text
    assert text.count("Groups won") == len(small.across)


def test_links_survive_that_a_sweep_grows(browser, small):
    grown = replace(small, tasks=small.tasks[::-1], variants=small.variants[::-1])
    browser.size(1280)
    page = browser.write(render(grown), "grown.html")
    gone = small.variants[1].name
    browser.open(f"{at(page, small.tasks[1])}&{urlencode({'hide': gone})}")
    assert browser.text("#task-name") == small.tasks[1].name
    assert browser.column("#task-table", 1) == [r.variant for r in small.tasks[1].rows if r.variant != gone]
    link = browser.run("return document.querySelector('#glance tbody tr a').href")
    assert link == at(page, grown.tasks[0])
    timeline = small.tasks[1].timelines[2].variant
    browser.choose("#pick-timeline", timeline)
    assert urlencode({"timeline": timeline}) in browser.driver.current_url


def test_the_bracket_is_the_one_that_loses_most_and_colours_are_those_of_figures(browser, url, small):
    task = small.tasks[0]
    rungs = tuple(replace(row, loss=9.0 if row.bracket == 1 else row.loss) for row in task.rungs)
    bare = replace(small, tasks=(replace(task, rungs=rungs, shares=_all_training(task)), *small.tasks[1:]))
    browser.open(browser.write(render(bare), "bracket.html"))
    assert browser.run("return document.getElementById('pick-bracket').value") == "1"
    browser.choose("#pick-bracket", "0")
    assert "bracket=0" in browser.driver.current_url
    shown = "return document.getElementById(arguments[0]).offsetHeight > 0"
    assert [browser.run(shown, one) for one in ("all-training", "shares", "shares-table")] == [
        True,
        False,
        False,
    ]
    colours = browser.run(
        "return document.getElementById('regrets-chart').data.map((one) => one.marker.color).slice(0, 4)"
    )
    assert colours == [part.colour for part in PARTS["regrets"].values()]


def _all_training(task):
    none = dict.fromkeys(("retrained", "overhead", "idle", "absent"), 0.0)
    return tuple(replace(row, training=1.0, **none) for row in task.shares)


def test_the_table_of_a_task_fits_and_a_phone_shows_what_decides(browser, small, url):
    browser.size(1280)
    browser.open(url)
    wide = """return [...document.querySelectorAll('#task-table .scroll, #cost-table .scroll')]
        .map((one) => one.scrollWidth - one.clientWidth)"""
    assert browser.run(wide) == [0, 0]
    browser.size(360)
    browser.open(url)
    right = browser.run(
        "return document.querySelector('#task-table tbody tr td:nth-child(4)').getBoundingClientRect().right"
    )
    assert right <= 360
    assert set(browser.column("#task-table", 2)) <= set(MARKS.values())
    browser.size(1280)


def test_nothing_to_show(browser):
    nothing = replace(example(1, variants=1), tasks=(), across=(), heatmaps=(), variants=(), finished=0)
    browser.open(browser.write(render(nothing), "nothing.html"), is_drawn=False)
    assert browser.complaints() == []
    assert nothing.summary[0] in browser.find("main").text
