"""The pages whose figures commands print: they show what is kept, and that is what the commands come to."""

import json
import re
import shlex
from functools import partial

import pytest

from benchmarks import choosing
from benchmarks.choosing import EARLY, FOLDER, KEPT, PAGES, STARTS, comparisons, kept_rows, workers
from benchmarks.doc_pages import PageError, commands, filled, loose_figures, run_comparison, show
from benchmarks.pages import rounded
from tests.profile import thorough

CONTENT = json.loads((FOLDER / KEPT).read_text("utf-8"))
TABLES = PAGES[2].read_text("utf-8")
QUICK = "hbsim compare --variant fifo --trials 3 --seeds 2 --surrogate ideal"
PAGE = f"""\
## A question

```sh
{QUICK} --workers 2
```

<!-- shows variant | trials:.0f | completed:.1f -->

| variant | trials | completed |
| --- | --- | --- |
| `fifo` | 3 | 3.0 |

<!-- end -->

It completes 3.0 trials.
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_is_kept_and_commands_print(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = page.read_text("utf-8")
    assert len(commands(text)) > 3
    assert filled(text, partial(show, compared=partial(kept_rows, CONTENT))) == text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_figure_of_a_sentence_is_one_that_a_command_prints(page):
    assert list(loose_figures(page.read_text("utf-8"))) == []


def test_the_comparisons_of_the_pages_are_kept_and_no_others():
    assert set(CONTENT["comparisons"]) == {shlex.join(words) for words in comparisons()}


def assert_the_same(found, kept):
    """Check that rows say the same, numbers nearly: another processor may round otherwise."""
    assert [row["variant"] for row in found] == [row["variant"] for row in kept]
    for one, other in zip(found, kept, strict=True):
        assert one == {
            name: pytest.approx(x, rel=1e-4) if isinstance(x, float) else x for name, x in other.items()
        }


@thorough
def test_a_comparison_comes_to_what_is_kept():
    (words,) = (
        words for words in comparisons() if words[words.index("--workers") + 1] == "4" and "digits" in words
    )
    assert_the_same(rounded(run_comparison(words)), kept_rows(CONTENT, words))


@thorough
def test_a_picture_shows_what_comparisons_come_to():
    kept = [row for row in CONTENT["workers"] if row["workers"] == 64]
    assert_the_same(rounded(workers(1, [64])), kept)


@thorough
def test_the_python_of_the_page_prints_what_it_says(capsys):
    (block,) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TABLES, flags=re.DOTALL)
    exec(compile(block[0], "tables.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == block[1]


def test_no_sentence_says_more_than_the_conclusions():
    for page in PAGES:
        assert not re.search(r"clearly|too close|by chance|beats?\b", page.read_text("utf-8"))


def test_what_the_page_says_of_later_starts():
    rows = CONTENT["early_ranks"]
    assert {(row["family"], row["early_rank"]) for row in rows} == {
        (family, early) for family in ("power", "exponential") for early in EARLY
    }
    assert all(row["these curves"] != "worse" for row in rows if row["variant"] == STARTS[0])


def test_a_page_as_it_should_be():
    assert filled(PAGE, show) == PAGE
    assert list(loose_figures(PAGE)) == []


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("| 3 | 3.0 |", "| 3 | 3.1 |"),  # a figure of the table
        ("--trials 3", "--trials 4"),  # the command
        ("variant | trials:.0f |", "variant | busy_share:.0% |"),  # what it shows
    ],
)
def test_what_has_changed_is_seen(was, becomes):
    page = PAGE.replace(was, becomes)
    assert filled(page, show) != page


@pytest.mark.parametrize(
    ("sentence", "loose"),
    [
        ("Or 2.5 of them.", ["2.5"]),
        ("Or 40 % of them.", ["40 %"]),
        ("Or 1,234 of 999.", ["1,234", "999"]),
        ("Of `12.5` and [this](1234.md) nothing is said.", []),
        ("\n## Another question\n\nThere are 3.0.", ["3.0"]),  # it is another section's
    ],
)
def test_a_figure_that_no_command_prints_is_seen(sentence, loose):
    assert list(loose_figures(PAGE + sentence)) == loose


@pytest.mark.parametrize(
    "text",
    [
        "<!-- shows output -->\n<!-- end -->\n",  # no command
        PAGE.replace("<!-- end -->", ""),
        PAGE.replace("variant | trials", "variant | tails"),  # no such column
        PAGE.replace("hbsim compare", "echo compare"),
        PAGE.replace("--workers 2", "--workers 0"),  # it fails
        PAGE.replace("variant | trials:.0f | completed:.1f", "output from nothing"),
    ],
)
def test_a_page_that_cannot_be_filled(text):
    with pytest.raises(PageError):
        filled(text, show)


def test_a_comparison_that_is_not_kept():
    with pytest.raises(PageError, match=r"is not kept; python -m benchmarks\.choosing runs it"):
        filled(PAGE, partial(show, compared=partial(kept_rows, {})))


def test_several_commands_as_one_table():
    shown = show(commands(f"```sh\n{QUICK} --workers 3\n{QUICK}\n```"), "--workers | --no-resume | jobs:.0f")
    assert shown.splitlines()[2:] == ["| `3` | no | 3 |", "| 0 | no | 3 |"]


def test_words_of_commands():
    assert commands("```sh\na --b 1 \\\n  --c 'd e'  # why\n\nf\n```\ntext `g`\n```sh\nh\n```") == [
        ["a", "--b", "1", "--c", "d e"],
        ["f"],
        ["h"],
    ]


def test_what_is_not_kept_is_run_and_check_fails_where_a_page_differs(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    monkeypatch.setattr(choosing, "PAGES", (page,))
    page.write_text(PAGE.replace("3.0 |", "2.9 |"), "utf-8")
    where = ["--out", str(tmp_path), "--jobs", "1"]
    choosing.main(["--pages", *where])
    assert page.read_text("utf-8") == PAGE
    with pytest.raises(SystemExit) as ended:
        choosing.main(["--check", *where])
    assert ended.value.code == 0
    page.write_text(PAGE.replace("3.0 |", "2.9 |"), "utf-8")
    with pytest.raises(SystemExit) as ended:
        choosing.main(["--check", *where])
    assert ended.value.code == 1
    assert "-| `fifo` | 3 | 2.9 |\n+| `fifo` | 3 | 3.0 |\n" in capsys.readouterr().err
