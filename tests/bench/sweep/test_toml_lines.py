from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.bench.sweep.specification import line_of
from tests.profile import examples

SWEEP = '''\
# A sweep.
title = "first"

[defaults]
max_t = 81
"num_trials" = 500

[[variants]]
scheduler = "stopping"
vary.brackets = [
  1,
  3,  # ] " '
]
[[variants]]
scheduler = "promotion"
[variants.vary]
reduction_factor = [2, 3]

[[surrogates]]
name = "digits"
[[surrogates]]
name = """
several
[lines]
"""
metric = "val_error"
[tables.of.none]
[tables]
"a.b" = {c = 1, d.e = [{f = 2}]}
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("title",), 2),
        (("defaults",), 4),
        (("defaults", "max_t"), 5),
        (("defaults", "num_trials"), 6),
        (("defaults", "mode"), 4),
        (("variants",), 8),
        (("variants", 0), 8),
        (("variants", 0, "vary"), 10),
        (("variants", 0, "vary", "brackets"), 10),
        (("variants", 0, "vary", "brackets", 1), 12),
        (("variants", 0, "vary", "brackets", 7), 10),
        (("variants", 1), 14),
        (("variants", 1, "vary", "reduction_factor", 1), 17),
        (("variants", 2, "vary"), 8),
        (("surrogates", 1, "name"), 22),
        (("surrogates", 1, "metric"), 26),
        (("tables",), 27),
        (("tables", "of", "none"), 27),
        (("tables", "a.b", "d", "e", 0, "f"), 29),
        (("nothing",), None),
        ((), None),
    ],
)
def test_lines_of_a_sweep(place: tuple[str | int, ...], line: int | None):
    assert line_of(SWEEP, place) == line
    assert line_of(SWEEP.replace("\n", "\r\n"), place) == line


# A document, its text, and where its writer put each value.

KEYS = st.sampled_from(["a", "b-1", "3", "true", "a.b", "", " ", '"', "'", "#", "é\n", "[", "=", "]", "{"])
SCALARS = st.one_of(
    st.integers(-9, 9),
    st.booleans(),
    st.sampled_from([0.5, -1e9]),
    st.text("ab\"'#[]{},=\\\n ", max_size=6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)


@dataclass
class Writer:
    """Writes a document in a layout that is drawn, and notes the line of every value."""

    draw: object
    text: str = ""
    lines: dict = field(default_factory=dict)

    def put(self, text: str) -> None:
        self.text += text

    def note(self, place: tuple) -> None:
        self.lines.setdefault(place, self.text.count("\n") + 1)

    def choose(self, *options):
        return self.draw(st.sampled_from(options))

    def end(self) -> None:
        self.put(self.choose("\n", "\n\n", " # [x] = {\n", "\t\n# '''\n  \n"))

    def key(self, key: str) -> str:
        if key in ("a", "b-1", "3", "true") and self.choose(True, False):
            return key
        if "'" not in key and "\n" not in key and self.choose(True, False):
            return f"'{key}'"
        return json.dumps(key)

    def table(self, place: tuple, table: dict, header: list[str]) -> None:
        """Write what fits below a header, then tables with headers of their own."""
        later = []
        for key, value in table.items():
            inner = (*place, key)
            is_tables = isinstance(value, list) and value and all(isinstance(v, dict) for v in value)
            if (isinstance(value, dict) or is_tables) and self.choose(True, False):
                later.append((inner, value))
            else:
                self.put(self.choose("", "  "))
                self.pair(inner, value, [])
                self.end()
        for inner, value in later:
            path = [*header, self.key(inner[-1])]
            dotted = self.choose(".", " . ").join(path)
            if isinstance(value, dict):
                self.note(inner)
                self.put(f"[{dotted}]")
                self.end()
                self.table(inner, value, path)
            for number, one in enumerate(value if isinstance(value, list) else ()):
                self.note(inner)
                self.note((*inner, number))
                self.put(f"[[{dotted}]]")
                self.end()
                self.table((*inner, number), one, path)

    def pair(self, place: tuple, value: object, before: list[str]) -> None:
        """Write ``a.b = value``; a table of one thing may be written as a dotted key."""
        self.note(place)
        path = [*before, self.key(place[-1])]
        if isinstance(value, dict) and len(value) == 1 and self.choose(True, False):
            ((key, inner),) = value.items()
            self.pair((*place, key), inner, path)
        else:
            self.put(self.choose(".", " . ").join(path) + self.choose("=", " = "))
            self.value(place, value)

    def value(self, place: tuple, value: object) -> None:
        self.note(place)
        if isinstance(value, dict):
            self.put("{")
            for number, (key, inner) in enumerate(value.items()):
                self.put(", " if number else " ")
                self.pair((*place, key), inner, [])
            self.put("}")
        elif isinstance(value, list):
            gap = self.choose("", " ", "\n", " # ]\n  ")
            self.put("[" + gap)
            for number, inner in enumerate(value):
                self.value((*place, number), inner)
                self.put("," + gap)
            self.put("]")
        else:
            self.put(self.scalar(value))

    def scalar(self, value: object) -> str:
        if not isinstance(value, str) or self.choose(True, False):
            return json.dumps(value)
        if "'" not in value and self.choose(True, False):
            return f"'''\n{value}'''"
        if value.endswith('"') and not value.endswith('""') and '"""' not in value and "\\" not in value:
            return f'"""\n{value}"""'  # four quotes at the end, the first its own
        # A line that ends in a backslash takes all white space that follows with it.
        return '"""' + ("" if value.startswith((" ", "\n")) else "\\\n  ") + json.dumps(value)[1:-1] + '"""'


@st.composite
def written(draw):
    document = draw(DOCUMENTS)
    writer = Writer(draw)
    writer.table((), document, [])
    return document, writer


def places(value: object, place: tuple = ()):
    if place:
        yield place
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*place, key))


@settings(max_examples=examples(100))
@given(written())
def test_every_value_of_a_document_has_the_line_at_which_it_was_written(made):
    document, writer = made
    assert tomllib.loads(writer.text) == document, writer.text
    assert set(writer.lines) == set(places(document))
    assert {place: line_of(writer.text, place) for place in writer.lines} == writer.lines
    for place in writer.lines:
        assert line_of(writer.text, (*place, "missing", 3)) == writer.lines[place]


ARRAYS = "[[a]]\n[a.b]\n[[a.b.c]]\n[[a]]\n[[a.b.c]]\nd.e = 1979-05-27 07:32:00 # x\n"
STRINGS = 'a = """""""" # "\nb = \'\'\'\'\'\'\nc = """\\""""\nd = ["""]\n""", 2]'


@pytest.mark.parametrize(("text", "place", "line"), [(ARRAYS, ("a", 1, "b"), 5), (STRINGS, ("d", 1), 5)])
def test_strings_hide_brackets_and_tables_belong_to_the_last_of_an_array(text, place, line):
    assert line_of(text, place) == line


@pytest.mark.parametrize("depth", [1, 100])
def test_depth_is_no_limit_where_tomllib_has_none(depth: int):
    text = "a = " + "[\n" * depth + "]" * depth
    assert tomllib.loads(text)
    assert line_of(text, ("a", *[0] * (depth - 1))) == depth
    text = "a = " + "{b = " * depth + "[\n1]" + "}" * depth
    assert line_of(text, ("a", *"b" * depth, 0)) == 2
