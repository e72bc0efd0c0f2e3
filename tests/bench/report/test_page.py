"""The page as text: escaped, the same each time, its own scripts only, contrast; how numbers are written."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import re
import sys
from html.parser import HTMLParser

import pytest
from hbsim.bench.report.chart_ranks import rows_of_bars
from hbsim.bench.report.page import render
from hbsim.bench.report.page_marks import plotly_styles
from hbsim.bench.report.page_names import short_names
from hbsim.bench.report.page_text import blob, fixed, rounded
from hypothesis import given
from hypothesis import strategies as st

from hbsim.errors import ParameterError
from tests.bench.report.example import example, poisoned

EVIL = "</script></pre><!--<img src=x onerror=alert(1)>\"'><svg/onload=alert(2)>"


class Parts(HTMLParser):
    """What a page consists of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    pytest.importorskip("plotly")
    return render(example())


def test_the_same_report_gives_the_same_bytes(page):
    assert render(example()) == page
    assert len(page.encode()) < 6_000_000


def test_texts_make_no_elements():
    plain, evil = Parts(render(example())), Parts(render(poisoned(example(), EVIL)))
    assert [tag for tag, _ in evil.tags if tag != "wbr"] == [tag for tag, _ in plain.tags if tag != "wbr"]
    kinds = [sorted(attributes) for tag, attributes in plain.tags if tag != "wbr"]
    assert [sorted(attributes) for tag, attributes in evil.tags if tag != "wbr"] == kinds
    assert "<" not in evil.scripts[0]
    data = json.loads(evil.scripts[0])
    assert data["variants"][0]["name"] == EVIL + json.loads(plain.scripts[0])["variants"][0]["name"]
    shown = "".join(evil.words)
    assert EVIL + example().summary[0] in shown
    assert EVIL + example().spec in shown


def test_only_the_pages_own_scripts_may_run(page):
    parts = Parts(page)
    policy = next(a["content"] for tag, a in parts.tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    data, *scripts = parts.scripts
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert len(scripts) == 2
    assert rules["script-src"].split() == [f"'sha256-{one}'" for one in hashes]
    assert rules["default-src"] == "'none'"
    loaded = [a[key] for _, a in parts.tags for key in ("src", "href", "action") if key in a]
    assert all(one.startswith("#") or one == "data:," for one in loaded)
    assert json.loads(data)["tasks"]


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_contrast_in_the_light_and_in_the_dark(page):
    blocks = re.findall(r":root \{([^}]*)\}", page)
    assert len(blocks) == 2
    for block in blocks:
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block))
        for name in ("ink", "muted", "link", "good", "bad"):
            for ground in ("paper", "soft"):
                low, high = sorted((_luminance(colours[name]), _luminance(colours[ground])))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)


def test_names_in_charts_are_short_and_keep_variants_apart():
    names = [
        "stopping,brackets=1,grace=2,reduction_factor=3",
        "promotion,brackets=3,grace=2,reduction_factor=4",
    ]
    assert list(short_names(names).values()) == ["stopping,brackets=1,η=3", "promotion,brackets=3,η=4"]
    assert short_names(["fifo", "fifo,seed=1"]) == {"fifo": "fifo", "fifo,seed=1": "fifo,seed=1"}
    assert list(short_names(["my-long-study-a", "my-long-study-b2"]).values()) == ["…a", "…b2"]
    assert list(short_names(["stopping,eta=3", "stopping,eta=4"]).values()) == ["eta=3", "eta=4"]
    assert short_names(["reduction_factor=2"]) == {"reduction_factor=2": "η=2"}


NAMES = st.lists(
    st.sampled_from(["a", "b", "c=1", "reduction_factor=2", "η=2", "", " ", "long-word-"]), max_size=4
)


@given(st.lists(NAMES.map(",".join) | NAMES.map("".join) | st.text(max_size=60), unique=True, max_size=6))
def test_no_two_variants_have_the_same_short_name(names):
    short = short_names(names)
    assert list(short) == names
    assert len(set(short.values())) == len(names)
    assert all(0 < len(label) <= 48 for label in short.values())


def test_variants_differ_in_more_than_colour():
    styles = plotly_styles(example(1, variants=28).variants)
    assert len({(one["colour"], one["dash"]) for one in styles}) == 28
    for colour in {one["colour"] for one in styles}:
        same = [(one["dash"], one["marker"]) for one in styles if one["colour"] == colour]
        assert len(set(same)) == len(same)


def test_without_plotly_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ParameterError, match=r"pip install .hbsim\[report\]"):
        render(example())


def test_numbers_as_they_are_written():
    assert fixed(-0.00004, 3) == "0.000"
    assert fixed(-1234.5, 1) == "−1,234.5"
    assert fixed(math.nan, 2) == "–"
    assert [rounded(x, 4) for x in (0.123456, 123456.0, math.nan, None, 2.0)] == [
        0.1235,
        123500,
        None,
        None,
        2,
    ]


@given(st.recursive(st.text() | st.integers(), lambda kid: st.lists(kid) | st.dictionaries(st.text(), kid)))
def test_any_data_is_harmless_in_a_script(data):
    text = blob(data)
    assert json.loads(text) == data
    assert text.isascii()
    assert not set("<>&") & set(text)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted).map(tuple), max_size=12))
def test_bars_of_cliques_never_overlap_and_take_as_few_rows_as_can_be(bars):
    rows = rows_of_bars(bars)
    assert sorted(itertools.chain(*rows)) == sorted(bars)
    for row in rows:
        assert all(one[1] < other[0] for one, other in itertools.pairwise(sorted(row)))
    assert len(rows) == max((sum(low <= x <= high for low, high in bars) for x in range(21)), default=0)
