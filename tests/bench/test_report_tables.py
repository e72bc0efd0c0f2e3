"""Tables of a report, read back: Markdown by a parser of its own, LaTeX by a small one here."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import pytest
from hbsim.bench.report.tables_grid import Grid, parts, row
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from hbsim.bench.report import tables, tables_latex, tables_markdown, tables_numbers
from hbsim.bench.report.figures_names import clean
from hbsim.bench.report.model import VariantInfo
from hbsim.bench.report.terminal import show
from hbsim.bench.statistics import Interval
from hbsim.errors import OutputError

from .report_example_small import AWKWARD, NONE, report

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


@given(st.lists(NASTY, min_size=2, max_size=4))
@example(list(AWKWARD))
@example(["--- - -1", "[x] *", "?`!`", "a_b"])
@example(['""', "x$-1$", "'\"'' ,,,", "–-–", "\\\\"])
def test_any_text_in_a_latex_table_is_printed_as_it_is(texts):
    grid = Grid(
        "k", (), "c", tuple("h" for _ in texts), "l" * len(texts), (row(*texts), row(*texts, bold=True))
    )
    align, lines = read_latex(tables_latex.table(grid, grid.rows, "n"))
    assert align == "l" * len(texts)
    plain, bold = lines[1:]
    wanted = [clean(text) for text in texts]
    assert [printed(cell.strip()).strip() for cell in plain] == wanted
    inner = [re.fullmatch(r"\\textbf\{(.*)\}", cell.strip())[1] for cell in bold]
    assert [printed(cell).strip() for cell in inner] == wanted


@given(st.lists(NASTY, min_size=2, max_size=4))
@example(list(AWKWARD))
@example(["[a]: b", "[a](b)", "[a][b]", "![x](y)"])
@example(["<b>", "&amp; &#35;", "*x* _y_ __z__", "~~s~~ `c`"])
@example(["-", "1. a", "# h", "\\|"])
@example(["1\n", "1&#35;", "1[2](3)", "-1 [2, 3]"])
def test_any_text_in_a_markdown_table_is_shown_as_it_is(texts):
    grid = Grid("k", (), "c", tuple("h" for _ in texts), "l" * len(texts), (row(*texts),))
    (found,) = read_markdown("\n".join(tables_markdown.table(grid)))
    assert found[1] == [clean(text) for text in texts]


@given(NASTY)
@example("# h")
@example("12) x")
@example("1)")
@example("- a")
@example("===")
def test_any_text_in_a_markdown_list_is_shown_as_it_is(text):
    tokens = MarkdownIt("commonmark").parse("\n".join(tables_markdown.bullets([text])))
    inline = [token for token in tokens if token.type == "inline"]
    assert [token.type for token in tokens].count("list_item_open") == 1
    assert "".join(child.content for token in inline for child in token.children) == clean(text)


@pytest.mark.parametrize(
    ("tasks", "variants", "empty"), [(1, 1, False), (2, 4, False), (3, 2, True), (7, 24, False)]
)
def test_every_table_can_be_read_and_has_all_variants(tasks, variants, empty):
    made = report(tasks, variants, empty=empty)
    found = tables.latex(made)
    assert len(found) == len(set(found))
    for name, text in found.items():
        align, lines = read_latex(text)
        assert {len(line) for line in lines} == {len(align)}
        assert rf"\label{{tab:{name}}}" in text
        assert "nan" not in re.sub(r"\\caption.*", "", text)
        assert 1 < len(lines) <= 1 + tables.LONGEST
    names = {variant.name for variant in made.variants}
    for name, text in found.items():
        head, *lines = read_latex(text)[1]
        if "variant" in (column := [cell.strip() for cell in head]):
            cells = [line[column.index("variant")].strip() for line in lines]
            bare = {printed(re.sub(r"^\\textbf\{(.*)\}$", r"\1", cell)) for cell in cells}
            assert bare == names, name
    shown = read_markdown(tables.markdown(made))
    assert len(shown) == len({re.sub(r"-\d+$", "", name) if tasks > 6 else name for name in found}) + 1
    assert {cell for table in shown for line in table for cell in line} >= names
    assert "nan" not in tables.markdown(made)


def test_the_best_is_bold_and_what_is_too_close_is_marked():
    made = report(1, 4)
    (text,) = (text for name, text in tables.latex(made).items() if name.startswith("task-"))
    lines = [line for line in text.splitlines() if line.endswith(r"\\")][1:]
    assert ["textbf" in line for line in lines] == [True, False, False, False]
    assert [r"$\approx$" in line for line in lines] == [False, True, True, False]
    assert "0.20" in lines[1]
    assert r"\textless{}0.001" in lines[3]


def test_many_tasks_have_a_row_each():
    made = report(1, 3)
    many = replace(
        made,
        variants=tuple(VariantInfo(v.name, v.type, {}) for v in made.variants),
        tasks=tuple(replace(made.tasks[0], surrogate=f"s{i}") for i in range(200)),
        across=(),
    )
    found = {name: text for name, text in tables.latex(many).items() if name.startswith("tasks")}
    assert len(found) == 5
    rows = [line[0].strip() for text in found.values() for line in read_latex(text)[1][1:]]
    assert rows == [f"s{i}" for i in range(200)]
    assert tables.markdown(many).count("200 tasks: the best there is is known") == 1


@given(st.integers(0, 200), st.integers(1, 50))
def test_parts_are_even_and_lose_no_row(rows, longest):
    grid = Grid("k", (), "", ("h",), "l", tuple(row(str(i)) for i in range(rows)))
    made = parts(grid, longest)
    assert sum(made, ()) == grid.rows
    assert all(0 < len(part) <= longest for part in made)
    assert len(made) == math.ceil(rows / longest)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9), st.integers(0, 6))
def test_a_number_is_the_value_to_its_decimals_and_never_minus_nothing(value, digits):
    text = tables_numbers.number(value, digits)
    assert abs(float(text.replace(",", "")) - value) <= 0.5 * 10**-digits + 5e-12 * abs(value)
    assert not re.fullmatch(r"-0(\.0*)?", text)


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
    assert tables_numbers.interval(one, tables_numbers.decimals([one, NONE])) == wanted


def test_p_values_and_what_there_is_none_of():
    shown = [tables_numbers.p_value(p) for p in (0.0004, 0.001, 0.0312, 0.0951, 0.5, 1.0, math.nan)]
    assert shown == ["<0.001", "0.001", "0.031", "0.10", "0.50", "1.00", "–"]
    assert tables_numbers.interval(NONE, 3) == "–"
    assert tables_numbers.interval(Interval(0.5, math.nan, math.nan), 1) == "0.5"


def test_files_are_the_same_each_time(tmp_path):
    first = tables.write_tables(report(2, 3), tmp_path / "a")
    second = tables.write_tables(report(2, 3), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted(first) == sorted((tmp_path / "a").iterdir())
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="a table cannot be written"):
        tables.write_tables(report(1, 1), tmp_path / "taken")


@pytest.mark.parametrize("shape", [(1, 1), (1, 24), (6, 6), (9, 3)])
@pytest.mark.parametrize("empty", [False, True])
def test_a_terminal_of_80_columns_shows_it_as_it_is(shape, empty):
    made = report(*shape, empty=empty)
    made = replace(made, title="[bold]x[/bold] " + "long " * 30, notes=("[red]note[/red]",))
    out = io.StringIO()
    show(made, Console(file=out, width=80, highlight=False))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "[bold]x[/bold]" in text
    assert "[red]note[/red]" in text
    assert "nan" not in text
    if shape[1] < 20:
        flat = re.sub(r"\s+", "", text)
        assert all(name.split()[0] in flat for name in (v.name for v in made.variants))
