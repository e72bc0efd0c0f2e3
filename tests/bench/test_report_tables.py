"""Tables of a report, read back: Markdown by a parser of its own, LaTeX and HTML by small ones here."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from hbsim.bench import formatting
from hbsim.bench.conclusions import Interval
from hbsim.bench.formatting import clean
from hbsim.bench.report import tables
from hbsim.bench.report.model import ALL, BEST, NO_SCORE, OPEN, WORSE, Across, Pairwise, VariantInfo
from hbsim.bench.report.render import (
    LONGEST,
    as_html,
    as_latex,
    as_markdown,
    bullets,
    fitting,
    latex,
    markdown,
    parts,
    show,
    write_tables,
)
from hbsim.bench.report.tables import MARKS, Heading, ReportTable, row
from hbsim.errors import OutputError
from tests.profile import examples

from .report_example_small import AWKWARD, NONE, report

CALLS = st.sampled_from(["better", "worse", "not told apart"])
NASTY = st.text(st.sampled_from(list("ab1 \\&%$#_{}~^<>|`\"'*[]()-+=!:;.,/?@\n≈–·η…é")), max_size=14)
MARKED = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "ldots": "…"}
MARKED |= {"textless": "<", "textgreater": ">", "textbar": "|", "approx": "≈", "leq": "≤", "eta": "η"}
MARKED |= {"cdot": "·", "infty": "∞", "`": "`"}


def printed(tex: str) -> str:
    """Return what LaTeX prints of the text of a cell; fails at what it would not take literally."""
    made, at = [], 0
    while at < len(tex):
        if found := re.match(r"\\([A-Za-z]+|`)(\{\}|(?=\$))", tex[at:]):
            made.append(MARKED[found[1]])
        elif found := re.match(r"\\([&%$#_{}])", tex[at:]):
            made.append(found[1])
        elif found := re.match(r"\$(\\[a-z]+|-)\$", tex[at:]):
            made.append("-" if found[1] == "-" else MARKED[found[1][1:]])
        elif found := re.match(r"\{\}|--(?!-)", tex[at:]):
            made.append("–" if found[0] == "--" else "")
        elif found := re.match(r"\{''\}", tex[at:]):
            made.append('"')
        else:
            found = re.match(r"[^\\&%$#_{}~^<>|`\"]", tex[at:])
            assert found, tex[at:]
            assert not re.match(r"''|,,", tex[at:])  # one character in print
            made.append(found[0])
        at += found.end()
    return "".join(made)


def read_latex(text: str) -> tuple[str, list[list[str]]]:
    """Return the columns and the cells of a table's rows; fails where environments or braces do not match."""
    text = "".join(line for line in text.splitlines(True) if not line.startswith("%"))
    stack = []
    for verb, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if verb == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    bare = re.sub(r"\\\\|\\[{}]", "", text)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    align, body = re.search(r"\\begin\{tabular\}\{([lr]+)\}(.*)\\end\{tabular\}", text, re.DOTALL).groups()
    for wanted in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{", r"\label{tab:"):
        assert text.count(wanted) == 1
    assert text.index(r"\caption{") < text.index(r"\label{")
    lines = re.sub(r"\\(top|mid|bottom)rule", "", body).strip().split("\n")
    assert all(line.endswith(r" \\") for line in lines if line)
    assert not any(line.startswith(("[", "*")) for line in lines)
    return align, [re.split(r"(?<!\\)&", line[:-2]) for line in lines if line]


def read_markdown(text: str) -> list[list[list[str]]]:
    """Return the texts of the cells of each table; fails at what is no text, but for strong ones and code."""
    found, tables_read = [], []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found:
            kinds = {child.type for child in token.children}
            assert kinds <= {"text", "text_special", "strong_open", "strong_close"}, token.content
            found[-1][-1].append("".join(child.content for child in token.children))
        elif token.type == "table_close":
            tables_read.append(found.pop())
    return tables_read


def plain(rows, columns=None):
    """Return a table of texts."""
    width = len(rows[0]) if rows else 1
    return ReportTable(
        "k", (), "c", tuple(columns or [Heading("h", "l")] * width), tuple(row(texts) for texts in rows)
    )


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(NASTY, min_size=2, max_size=4))
@example(list(AWKWARD))
@example(["--- - -1", "[x] *", "?`!`", "a_b"])
@example(['""', "x$-1$", "'\"'' ,,,", "–-–", "\\\\"])
def test_any_text_in_a_latex_table_is_printed_as_it_is(texts):
    made = plain([texts])
    bold = (row(texts, bold=True),)
    align, lines = read_latex(as_latex(made, (*made.rows, *bold), "n"))
    assert align == "l" * len(texts)
    wanted = [clean(text) for text in texts]
    assert [printed(cell.strip()).strip() for cell in lines[1]] == wanted
    inner = [re.fullmatch(r"\\textbf\{(.*)\}", cell.strip())[1] for cell in lines[2]]
    assert [printed(cell).strip() for cell in inner] == wanted


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(NASTY, min_size=2, max_size=4))
@example(list(AWKWARD))
@example(["[a]: b", "[a](b)", "[a][b]", "![x](y)"])
@example(["<b>", "&amp; &#35;", "*x* _y_ __z__", "~~s~~ `c`"])
@example(["-", "1. a", "# h", "\\|"])
@example(["1\n", "1&#35;", "1[2](3)", "-1 [2, 3]"])
def test_any_text_in_a_markdown_table_is_shown_as_it_is(texts):
    (found,) = read_markdown("\n".join(as_markdown(plain([texts]))))
    assert found[1] == [clean(text) for text in texts]


class Cells(HTMLParser):
    """The texts of a table's cells; fails at an element that is none of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag, attrs):
        assert tag in {"table", "caption", "thead", "tbody", "tr", "th", "td", "b", "p"}
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows:
            self.rows[-1][-1] += data


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(NASTY, min_size=2, max_size=4))
@example(["<script>x</script>", "&lt;", '" onload="x', "</table>"])
def test_any_text_in_an_html_table_is_shown_as_it_is(texts):
    reader = Cells()
    reader.feed(as_html(plain([texts])))
    reader.close()
    assert reader.rows[1] == texts


@settings(max_examples=examples(100), deadline=None)
@given(NASTY)
@example("# h")
@example("12) x")
@example("1)")
@example("- a")
@example("===")
def test_any_text_in_a_markdown_list_is_shown_as_it_is(text):
    tokens = MarkdownIt("commonmark").parse("\n".join(bullets([text])))
    inline = [token for token in tokens if token.type == "inline"]
    assert [token.type for token in tokens].count("list_item_open") == 1
    assert "".join(child.content for token in inline for child in token.children) == clean(text)


@pytest.mark.parametrize(
    ("tasks", "variants", "empty"), [(1, 1, False), (2, 4, False), (3, 2, True), (7, 24, False)]
)
def test_every_table_can_be_read_and_has_all_variants(tasks, variants, empty):
    made = report(tasks, variants, empty=empty)
    found = latex(made)
    assert len(found) == len(set(found))
    names = {variant.name for variant in made.variants}
    for name, written in found.items():
        align, lines = read_latex(written)
        assert {len(line) for line in lines} == {len(align)}
        assert rf"\label{{tab:{name}}}" in written
        assert "nan" not in re.sub(r"\\caption.*", "", written)
        assert 1 < len(lines) <= 1 + LONGEST
        head, *body = lines
        if "variant" in (column := [cell.strip() for cell in head]):
            cells = [line[column.index("variant")].strip() for line in body]
            bare = {printed(re.sub(r"^\\textbf\{(.*)\}$", r"\1", cell)) for cell in cells}
            assert bare == names, name
    page = markdown(made)
    shown = read_markdown(page)
    count = sum(len(of) for _, of in tables.sections(made)) + len(tables.missing_table(made))
    assert len(shown) == count
    assert {cell for table in shown for line in table for cell in line} >= names
    assert "nan" not in page


def test_the_best_is_bold_and_how_the_others_stand_is_marked_in_both_columns():
    made = report(1, 4)
    [task] = made.tasks
    table = tables.task_table(task)
    heads = [column.head.replace("\n", " ") for column in table.columns]
    for one, line in zip(task.rows, table.rows, strict=True):
        cells = dict(zip(heads, line, strict=True))
        assert all(cell.bold == (one.call == BEST) for cell in line)
        for head, standing in (("these curves", one.curves), ("another draw", one.draw)):
            assert cells[head].text.startswith(MARKS[standing.call])
        assert (cells["difference from the best [95%]"].text == "–") == (one.call == BEST)
    bare = replace(task, rows=tuple(replace(one, draw=None) for one in task.rows))
    assert "another draw" not in [c.head.replace("\n", " ") for c in tables.task_table(bare).columns]


def test_what_matters_has_a_column_where_it_was_said():
    [task] = report(1, 3).tasks
    rows = tuple(
        replace(one, draw=replace(one.draw, better=0.004, same=0.096, worse=0.9)) for one in task.rows
    )
    table = tables.task_table(replace(task, rows=rows, matters=0.01))
    place = [column.head for column in table.columns].index("P better,\nsame, worse")
    assert {line[place].text for line in table.rows[1:]} == {"0.4%, 9.6%, 90%"}
    assert any("above 0.01" in note for note in table.notes)


def test_many_tasks_have_a_row_each():
    made = report(1, 3)
    many = replace(
        made,
        variants=tuple(VariantInfo(v.name, v.type, {}) for v in made.variants),
        tasks=tuple(replace(made.tasks[0], surrogate=f"s{i}", notes=("known",)) for i in range(200)),
        across=(),
    )
    found = {name: written for name, written in latex(many).items() if name.startswith("tasks")}
    assert len(found) == 5
    rows = [line[0].strip() for written in found.values() for line in read_latex(written)[1][1:]]
    assert rows == [f"s{i}" for i in range(200)]
    assert markdown(many).count("200 tasks: known") == 1


@pytest.mark.parametrize("variants", [3, 9])
def test_all_tasks_at_a_glance(variants):
    made = report(4, variants)
    (table,) = tables.overview_table(made)
    assert [line[0].text for line in table.rows] == [task.name for task in made.tasks]
    for task, line in zip(made.tasks, table.rows, strict=True):
        calls = [one.call for one in task.rows]
        if variants > 8:
            assert [cell.text for cell in line[3:5]] == [str(calls.count(call)) for call in (OPEN, WORSE)]
            continue
        marks = [
            WORSE if MARKS[WORSE] in c.text else OPEN if MARKS[OPEN] in c.text else BEST if c.bold else ""
            for c in line[1:]
        ]
        by_name = dict(zip(tables.best_first(made), marks, strict=True))
        assert by_name == {one.variant: one.call for one in task.rows}
    for none in (report(1, variants), report(0, variants)):
        assert tables.overview_table(none) == []


# Over tasks


def ranking(ranks, calls, p=0.01, p_friedman=0.001, groups=20, flip=False):
    """Return a ranking of variants "0", "1", ...; `calls` are those of the first against each other."""
    names = tuple(str(i) for i in range(len(ranks)))
    turned = {"better": "worse", "worse": "better"}
    pairs = [
        Pairwise(name, "0", 0, 0, 0, p, 0.9, NONE, turned.get(call, call))
        if flip
        else Pairwise("0", name, 0, 0, 0, p, 0.9, NONE, call)
        for name, call in zip(names[1:], calls, strict=True)
    ]
    middle = (Interval(0.5, 0.4, 0.6),) * len(ranks)
    return Across(
        ALL, "score", tuple(f"g{i}" for i in range(groups)), names, ((0.5,) * len(ranks),) * groups,
        middle, middle, tuple(ranks), p_friedman, 9.0, (names,), tuple(pairs),
    )  # fmt: skip


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1.5, 2.0, 3.0]), CALLS), min_size=1, max_size=6), st.booleans())
def test_a_mark_is_what_the_pair_with_the_first_says_whatever_the_cliques(others, flip):
    others.sort(key=lambda pair: pair[0])
    ranks, calls = [1.5, *(rank for rank, _ in others)], [call for _, call in others]
    wanted = {"0": BEST}
    for name, (rank, call) in enumerate(others, start=1):
        wanted[str(name)] = BEST if rank == 1.5 else WORSE if call == "better" else OPEN
    assert ranking(ranks, calls, flip=flip).calls == wanted
    assert WORSE not in ranking(ranks, calls, p_friedman=0.2).calls.values()
    table = tables.ranking_table([ranking(ranks, calls)])
    worse = {line[1].text for line in table.rows if line[2].text.startswith(MARKS[WORSE])}
    assert worse == {name for name, call in wanted.items() if call == WORSE}
    assert [line[1].bold for line in table.rows] == [call == BEST for call in wanted.values()]
    assert any(MARKS[OPEN] in note for note in table.notes) == (set(wanted.values()) != {BEST})


def test_without_a_test_there_are_no_marks_and_it_says_how_many_groups_it_takes():
    few = ranking([1.0, 2.0, 2.0], ["better", "better"], p=math.nan, groups=6)
    assert few.calls == {"0": BEST}
    notes = tables.ranking_table([few]).notes
    assert any("Not tested: fewer than 7 groups for 3 pairs" in note for note in notes)
    assert not any(MARKS[OPEN] in note for note in notes)


def test_which_friedman_test_it_is_and_all_settings_come_first():
    for groups, name in ((9, "permutations"), (10, "Iman and Davenport")):
        table = tables.ranking_table([ranking([1.0, 2.0], ["better"], groups=groups)])
        assert any(name in note for note in table.notes)
    made = report(6, 3)
    over_all = [replace(across, setting=ALL) for across in made.across[:2]]
    assert tables.rankings(replace(made, across=(*made.across, *over_all)))[0].texts == (ALL,)


# Numbers


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, 200), st.integers(1, 50))
def test_parts_are_even_and_lose_no_row(count, longest):
    rows = [row((str(i),)) for i in range(count)]
    made = parts(rows, longest)
    assert [line for part in made for line in part] == rows
    assert all(0 < len(part) <= longest for part in made)
    assert len(made) == math.ceil(count / longest)


@settings(max_examples=examples(100), deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9), st.integers(0, 6))
def test_a_number_is_the_value_to_its_decimals_and_never_minus_nothing(value, digits):
    shown = formatting.number(value, digits)
    assert abs(float(shown.replace(",", "")) - value) <= 0.5 * 10**-digits + 5e-12 * abs(value)
    assert not re.fullmatch(r"-0(\.0*)?", shown)


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.110, 0.140, "0.125 [0.110, 0.140]"),
        (11.0, 14.0, "12.5 [11.0, 14.0]"),
        (100.0, 1400.0, "750 [100, 1,400]"),
    ],
)
def test_the_interval_decides_how_many_digits(low, high, wanted):
    one = Interval((low + high) / 2, low, high)
    assert formatting.interval(one, formatting.decimals([one, NONE])) == wanted


def test_p_values_times_counts_and_what_there_is_none_of():
    shown = [formatting.p_value(p) for p in (0.0004, 0.001, 0.0312, 0.0951, 0.5, 1.0, math.nan)]
    assert shown == ["<0.001", "0.001", "0.031", "0.10", "0.50", "1.00", "–"]
    assert formatting.interval(NONE, 3) == "–"
    assert formatting.interval(Interval(0.5, math.nan, math.nan), 1) == "0.5"
    times = [formatting.duration(seconds) for seconds in (0.5, 119.0, 120.0, 43200.0, 200000.0, math.nan)]
    assert times == ["0.5 s", "119 s", "2 min", "12 h", "2.31 d", "–"]
    counts = [formatting.plural(1, "study"), formatting.plural(2, "study"), formatting.plural(1200, "seed")]
    assert counts == ["1 study", "2 studies", "1,200 seeds"]


def test_the_median_time_to_a_target():
    inf, nan = math.inf, math.nan
    assert tables.reach(Interval(120.0, 90.0, 300.0), 60.0) == "2 [1.5, 5]"
    assert tables.reach(Interval(120.0, 90.0, inf), 60.0) == "2 [1.5, ∞]"
    assert tables.reach(Interval(120.0, nan, nan), 60.0) == "2"
    assert tables.reach(Interval(inf, 90.0, inf), 60.0) == "> budget"
    assert tables.reach(NONE, 60.0) == "–"


def test_time_that_was_all_training_has_no_table():
    made = report(2, 3)
    idle = replace(made.tasks[0].shares[0], training=1.0, retrained=0.0, overhead=0.0, idle=0.0, absent=0.0)
    busy = tuple(replace(idle, variant=variant.name) for variant in made.variants)
    some = replace(made, tasks=(replace(made.tasks[0], shares=busy), made.tasks[1]))
    assert [table.kind for table in tables.diagnosis_tables(some)].count("time") == 1
    assert tables.all_training(some)[0].startswith(made.tasks[0].name)
    assert tables.all_training(made) == []


def test_files_are_the_same_each_time(tmp_path):
    first = write_tables(report(2, 3), tmp_path / "a")
    second = write_tables(report(2, 3), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted(first) == sorted((tmp_path / "a").iterdir())
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="a table cannot be written"):
        write_tables(report(1, 1), tmp_path / "taken")


# A terminal


def terminal_text(made, width=80, is_full=False):
    out = io.StringIO()
    show(made, Console(file=out, width=width, highlight=False), is_full)
    return out.getvalue()


@pytest.mark.parametrize(("shape", "empty"), [((1, 24), False), ((6, 6), False), ((9, 3), True)])
def test_a_terminal_of_80_columns_shows_it_as_it_is(shape, empty):
    made = report(*shape, empty=empty)
    made = replace(made, title="[bold]x[/bold] " + "long " * 30, notes=("[red]note[/red]",))
    shown = terminal_text(made)
    assert max(map(len, shown.splitlines())) <= 80
    assert "[bold]x[/bold]" in shown
    assert "[red]note[/red]" in shown
    assert "nan" not in shown
    if shape[1] < 20:
        flat = re.sub(r"\s+", "", shown)
        assert all(name.split()[0] in flat for name in (v.name for v in made.variants))


def test_a_terminal_shows_the_answer_then_one_table_and_all_of_them_if_asked():
    made = replace(report(1, 3), answer="Here is the answer.")
    shown = terminal_text(made)
    assert shown.index("Here is the answer.") < shown.index("normalised") < shown.index(made.summary[0][:20])
    assert "who leads over the budget" not in shown
    assert "who leads over the budget" in terminal_text(made, is_full=True)


@pytest.mark.parametrize("width", [60, 100, 240])
def test_columns_that_have_no_room_are_named(width):
    table = tables.task_table(report(1, 5).tasks[0])
    shown, left = fitting(table, width)
    assert len(shown) + len(left) == len(table.columns)
    assert {place for place, column in enumerate(table.columns) if not column.need} <= set(shown)
    needs = [column.need for column in table.columns]
    gone = [need for place, need in enumerate(needs) if place not in shown]
    assert not gone or max(needs[place] for place in shown) <= min(gone)
    assert ("not shown at this width" in terminal_text(report(1, 5), width)) == bool(left)


def test_the_marks_are_explained_where_they_are_and_long_tables_are_cut():
    many = report(1, 2)
    many = replace(many, tasks=tuple(replace(many.tasks[0], surrogate=f"s{i}") for i in range(60)), across=())
    assert "and 20 more" in terminal_text(many)
    [task] = report(1, 2).tasks
    alone = replace(report(1, 2), tasks=(replace(task, rows=task.rows[:1]),))
    assert MARKS[OPEN] not in terminal_text(alone)
    assert NO_SCORE not in terminal_text(alone)
