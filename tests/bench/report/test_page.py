"""The page as text: escaped, the same each time, its own scripts only, contrast, what is left out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.bench.html_page import _json, write_page
from hbsim.bench.page import LIMITS, TEXTS, _of_points, _of_stretches, _thinned, render
from hbsim.bench.report.model import Line, Segment, Timeline
from hbsim.bench.report.tables import task_table
from hbsim.errors import OutputError
from tests.bench.report.example import example, poisoned, without_results
from tests.profile import examples

EVIL = "</script></pre><!--<img src=x onerror=alert(1)>\"'><svg/onload=alert(2)>{{ 7*7 }}"


class Parts(HTMLParser):
    """What a page consists of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.words.append(data)

    def unpacked(self) -> dict[str, dict]:
        """Return the charts and tables of each part of the page."""
        kept = [(a["id"], text) for a, text in self.scripts if a.get("type") == "text/plain"]
        return {name[5:]: json.loads(zlib.decompress(base64.b64decode(text))) for name, text in kept}


@pytest.fixture(scope="module")
def small():
    return example(2, (8,), variants=4, points=20, segments=30)


@pytest.fixture(scope="module")
def page(small) -> str:
    return render(small)


def test_the_same_report_gives_the_same_bytes(page, small):
    assert render(small) == page
    assert 900_000 < len(page.encode()) < 1_500_000


def test_texts_make_no_elements(page, small):
    plain, evil = Parts(page), Parts(render(poisoned(small, EVIL)))
    kinds = [(tag, sorted(attributes)) for tag, attributes in plain.tags]
    assert [(tag, sorted(attributes)) for tag, attributes in evil.tags] == kinds
    shown = "".join(evil.words)
    assert EVIL + small.answer in shown
    assert EVIL + small.summary[0] in shown
    assert EVIL + small.spec in shown
    [*_, tables] = [part["tables"] for part in evil.unpacked().values() if "tables" in part]
    inner = Parts("".join(tables))
    assert {tag for tag, _ in inner.tags} <= {
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
        "b",
        "i",
    }
    assert any(EVIL in word for word in inner.words)


def test_only_the_pages_own_scripts_may_run(page):
    parts = Parts(page)
    policy = next(a["content"] for _, a in parts.tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    scripts = [text for attributes, text in parts.scripts if "type" not in attributes]
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert len(scripts) == 2
    assert rules["script-src"].split() == [f"'sha256-{one}'" for one in hashes]
    assert "unsafe-eval" not in policy
    assert rules["default-src"] == "'none'"
    loaded = [a[key] for _, a in parts.tags for key in ("src", "href", "action") if key in a]
    assert all(one.startswith(("#", "data:")) for one in loaded)


def test_the_answer_one_table_and_one_chart_are_open(page, small):
    head = page[page.index("<main>") : page.index("<details")]
    assert small.answer in head
    assert head.count("<table") == head.count('class="chart"') == 1
    assert "<details open" not in page


def test_every_chart_on_the_page_has_its_data(page):
    parts = Parts(page)
    found = parts.unpacked()
    wanted = [a["data-chart"].split("/") for _, a in parts.tags if a.get("class") == "chart"]
    assert len(wanted) > 20
    assert all("layer" in found[part][name] or "facet" in found[part][name] for part, name in wanted)
    assert all("config" not in spec for charts in found.values() for spec in charts.values())


def test_tables_and_terms_are_those_of_the_report(page, small):
    words = "".join(Parts(page).words)
    for task in small.tasks:
        table = task_table(task)
        assert table.title in words
        assert all(cell.text in words for row in table.rows for cell in row)
    assert all(text in words for text in TEXTS["glossary"].values())
    assert all(command in words for command in small.commands.values())


def test_who_has_no_script_sees_a_picture_of_the_chart(page):
    [still] = re.findall(r'<noscript><img[^>]*src="data:image/svg\+xml;base64,([^"]+)"></noscript>', page)
    assert base64.b64decode(still).startswith(b"<svg")


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_contrast_in_the_light_and_in_the_dark(page):
    blocks = re.findall(r":root \{([^}]*)\}", page)
    assert len(blocks) == 2
    for block in blocks:
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block))
        for name in ("ink", "muted", "link"):
            for ground in ("paper", "soft"):
                low, high = sorted((_luminance(colours[name]), _luminance(colours[ground])))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)


@settings(max_examples=examples(100))
@given(
    st.recursive(
        st.text() | st.integers(), lambda kid: st.lists(kid) | st.dictionaries(st.text(), kid), max_leaves=8
    )
)
def test_any_data_is_harmless_in_a_script(data):
    text = _json(data)
    assert json.loads(text) == data
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_a_report_without_results_has_a_page(small):
    page = render(without_results(small))
    assert small.answer in page
    assert 'class="chart"' not in page
    nothing = replace(small, tasks=(), across=(), heatmaps=(), variants=(), finished=0)
    assert small.answer in render(nothing)


# A page that would be large


@settings(max_examples=examples(100))
@given(
    st.lists(st.tuples(st.integers(0, 500), st.floats(-9, 9)), min_size=1, unique_by=lambda one: one[0]).map(
        sorted
    ),
    st.integers(2, 40),
)
def test_a_curve_of_fewer_points_keeps_its_ends(points, most):
    line = Line("v", *(tuple(map(float, column)) for column in zip(*points, strict=True)))
    kept = _of_points(line, most)
    assert len(kept.x) == min(most, len(line.x))
    assert (kept.x[0], kept.x[-1], kept.mean[-1]) == (line.x[0], line.x[-1], line.mean[-1])
    assert set(zip(kept.x, kept.mean, strict=True)) <= set(zip(line.x, line.mean, strict=True))
    assert kept.low == ()


@settings(max_examples=examples(100))
@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 9), st.floats(0, 9)), max_size=12), st.integers(0, 12)
)
def test_a_timeline_of_fewer_stretches_ends_at_one_time_for_all_workers(spans, most):
    segments = tuple(
        sorted((Segment(w, a, a + b, 1.0) for w, a, b in spans), key=lambda s: (s.worker, s.start))
    )
    line = Timeline("v", 0, 3, (1.0,), segments)
    kept = _of_stretches(line, most)
    assert len(kept.segments) <= most
    if len(segments) <= most:
        assert kept == line
    else:
        cut = kept.cut
        wanted = [replace(one, end=min(one.end, cut)) for one in segments if one.start < cut]
        assert list(kept.segments) == wanted
        assert cut in {one.start for one in segments}
        assert sum(one.start <= cut for one in segments) > most


def test_everything_is_kept_where_there_is_room(small, page):
    assert _thinned(small.tasks[0], LIMITS[0]) == small.tasks[0]
    assert "To keep this page small" not in page


def test_a_page_keeps_to_its_limit():
    report = example(2, (8,), variants=3)
    most, least = (len(render(report, limit=limit).encode()) for limit in (10**8, 1))
    assert least < most - 20_000
    room = round(least + 0.6 * (most - least))
    page = render(report, limit=room)
    assert least <= len(page.encode()) <= room
    assert "To keep this page small" in page
    assert page.count('<section class="task"') == 2


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_page("<p>", tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == [tmp_path / "page.html"]
