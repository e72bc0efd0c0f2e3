"""The page in a browser: no complaint, no request, tasks, any names, phones, the dark, paper, no script."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from hbsim.bench.formatting import decimals, interval
from hbsim.bench.page import FOLDS, render
from tests.bench.report.browser import Browser
from tests.bench.report.example import example, poisoned, without_results

EVIL = (
    "</script><img src=x onerror=alert(1)>",
    "<b>bold</b> & <a href='javascript:alert(1)'>x</a>",
    "datum.x + alert(1) && '%{y}' \\",
)
TALL = 20_000  # so that all charts are near


@pytest.fixture(scope="module")
def small():
    return example(variants=3, points=20, segments=30)


@pytest.fixture(scope="module")
def url(browser: Browser, small) -> str:
    return browser.write(render(small))


@pytest.fixture(scope="module")
def alone(browser: Browser):
    """Return a page of one task."""
    report = replace(example(1, (8,), points=50, segments=60), across=())
    return browser.write(render(report), "alone.html"), report


def _seen(browser: Browser, selector: str, part: str = "textContent") -> list:
    """Return a part of each element that can be seen."""
    script = """return [...document.querySelectorAll(arguments[0])]
        .filter((one) => one.checkVisibility()).map((one) => one[arguments[1]])"""
    return list(browser.run(script, selector, part))


def _is_sound(browser: Browser) -> None:
    assert browser.complaints() == []
    words = browser.run("return document.querySelector('main').innerText")
    assert "NaN" not in words
    assert "undefined" not in words
    assert browser.run("return document.scrollingElement.scrollWidth - innerWidth") <= 0


def test_charts_are_drawn_without_a_complaint_or_a_request(browser, url, small):
    browser.size(1280, TALL)
    browser.open(url)
    browser.unfold()
    marks = "line path, rect path, rule line, symbol path".replace(", ", ", svg .mark-")
    empty = """return [...document.querySelectorAll('.chart')].filter((box) => box.checkVisibility())
        .filter((box) => box.querySelectorAll(arguments[0]).length < 2).map((box) => box.dataset.chart)"""
    assert browser.run(empty, f"svg .mark-{marks}") == []
    assert len(_seen(browser, ".chart svg.marks")) > 12
    _is_sound(browser)
    assert {request.partition(":")[0] for request in browser.requests()} <= {"file", "data", "blob"}


def test_the_page_opens_with_the_answer(browser, alone):
    page, report = alone
    browser.size(1280)
    browser.open(page)
    seen = browser.run("return document.querySelector('main').innerText")
    assert seen.startswith(report.answer)
    assert len(_seen(browser, "table")) == 1
    assert browser.run("return [...document.querySelectorAll('.chart svg.marks')].length") == 1
    rows = report.tasks[0].rows
    assert browser.marks("top/anytime", "line") == len(rows)
    assert browser.column("#answer", 1) == [row.variant for row in rows]
    digits = decimals(row.score for row in rows)
    assert browser.column("#answer", 2) == [interval(row.score, digits) for row in rows]


def test_a_legend_selects_and_a_pointer_is_told(browser, alone):
    from selenium.webdriver.common.action_chains import ActionChains

    page, report = alone
    browser.size(1280)
    browser.open(page)
    faint = """return [...document.querySelectorAll('[data-chart="top/anytime"] .mark-line path')]
        .filter((one) => Number(one.getAttribute('opacity') ?? 1) < 0.5).length"""
    assert browser.run(faint) == 0
    browser.find(".chart .role-legend-label text").click()
    others = len(report.variants) - 1
    browser.wait_for(f"{faint} === arguments[0]", others)
    points = browser.driver.find_elements("css selector", ".chart .mark-symbol.role-mark path")
    ActionChains(browser.driver).move_to_element(points[len(points) // 2]).perform()
    browser.wait_for("return document.querySelector('#vg-tooltip-element.visible') !== null")
    assert "variant" in browser.text("#vg-tooltip-element")


def test_another_task_is_chosen_and_its_address_survives_that_the_sweep_grows(browser, url, small):
    browser.size(1280)
    browser.open(url)
    assert _seen(browser, ".task", "ariaLabel") == [small.tasks[0].name]
    browser.run("document.querySelector('.task.chosen details').open = true")
    wanted = small.tasks[-1]
    browser.choose("#pick", wanted.name)
    assert _seen(browser, ".task", "ariaLabel") == [wanted.name]
    assert browser.run("return document.querySelector('.task.chosen details').open")  # as in the one before
    assert browser.column(".task.chosen", 1)[: len(wanted.rows)] == [row.variant for row in wanted.rows]
    address = browser.driver.current_url.partition("#")[2]
    grown = replace(small, tasks=(wanted, small.tasks[0]))
    browser.open(f"{browser.write(render(grown), 'grown.html')}#{address}")
    assert _seen(browser, ".task", "ariaLabel") == [wanted.name]
    assert browser.run("return document.getElementById('pick').value") == address


def test_tables_that_are_folded_away_are_there_when_they_are_opened(browser, alone):
    page, _ = alone
    browser.open(page)
    browser.run("document.querySelector('details[data-fold=tables]').open = true")
    browser.wait_for("return document.querySelectorAll('[data-tables] table').length > 2")
    words = browser.text("[data-tables]")
    assert "who leads over the budget" in words
    assert "false promotions" in words


def test_names_may_be_anything_on_any_screen(browser):
    many = poisoned(example(2, (8,), variants=4, names=EVIL, points=9, segments=9), "<img src=x>")
    page = browser.write(render(many), "evil.html")
    for width in (1280, 360):
        browser.size(width, TALL)
        browser.open(page)
        browser.unfold()
        _is_sound(browser)
    assert (
        browser.run("return document.querySelectorAll('main img, main a:not(.vega-actions a)').length") == 0
    )
    assert EVIL[0] in browser.run("return document.querySelector('main').innerText")
    labels = _seen(browser, ".chart .role-legend-label text")
    assert any("<img src=x>" in label for label in labels)


def test_a_page_of_little_or_nothing(browser, small):
    bare = replace(small.tasks[1], rungs=(), regrets=(), brackets=(), shares=(), timelines=(), anytime=())
    none = without_results(small)
    nothing = replace(small, tasks=(), across=(), heatmaps=(), variants=(), finished=0)
    for report in (replace(small, tasks=(none.tasks[0], bare)), none, nothing):
        browser.size(360, TALL)
        browser.open(browser.write(render(report), "bare.html"))
        browser.unfold()
        _is_sound(browser)
        assert small.answer in browser.text(".answer")


def _media(browser, **features):
    pairs = [
        {"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()
    ]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": pairs})


def test_the_dark_is_dark_and_comes_while_the_page_is_open(browser, alone):
    page, _ = alone
    browser.size(1280)
    browser.open(page)
    title = ".chart .role-axis-title text"
    ink = f"getComputedStyle(document.querySelector('{title}')).fill"
    light = browser.run(f"return {ink}")
    _media(browser, color_scheme="dark")
    try:
        changed = f"return document.querySelector('{title}') && ({ink}) !== arguments[0]"
        browser.wait_for(changed, light)
        browser.wait()
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
        assert browser.complaints() == []
    finally:
        _media(browser)


def test_on_paper_charts_are_as_wide_as_it(browser, alone):
    page, _ = alone
    browser.size(1280)
    browser.open(page)
    pdf = browser.driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 5.8, "paperHeight": 8.3})
    assert base64.b64decode(pdf["data"]).startswith(b"%PDF")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.size(500)
        wide = """return [...document.querySelectorAll('.chart svg.marks')]
            .filter((one) => one.getBoundingClientRect().right > innerWidth).length"""
        assert browser.run(wide) == 0
        assert _seen(browser, "main > details, .task details") == []
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.size(1280)


def test_without_a_script_what_came_out_can_be_read(browser, small, url):
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(url, is_drawn=False)
        text = browser.find("body").text
        assert browser.find("noscript img").size["height"] > 50
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert small.answer in text
    for task in small.tasks:
        assert task.name in text
    assert "More tables" not in text
    assert next(iter(FOLDS)) in text
