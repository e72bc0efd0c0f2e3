"""The pages whose figures commands print: they print them, and every figure of a sentence is among them."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import choosing, choosing_sweeps
from benchmarks.choosing import PAGES
from benchmarks.page_blocks import PageError, commands, filled, loose_figures
from benchmarks.page_output import printed, show

FIGURES = Path(__file__).parents[2] / "results" / "choosing" / "choosing.json"
CHOOSING = PAGES[0].read_text("utf-8")
PAGE = """\
## A question

```sh
hbsim compare --variant fifo --trials 3 --seeds 2 --surrogate ideal --workers 2
```

<!-- shows variant | trials | completed:.1f -->

| variant | trials | completed |
| --- | --- | --- |
| `fifo` | 3 | 3.0 |

<!-- end -->

It completes 3.0 trials.
"""


def sections(page):
    return [part for part in re.split(r"(?m)^(?=## )", page.read_text("utf-8")) if commands(part)]


@pytest.mark.parametrize(
    "section",
    [pytest.param(part, id=part.splitlines()[0].strip("# ")) for page in PAGES for part in sections(page)],
)
def test_commands_print_what_the_page_shows(section, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert filled(section, show) == section


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_figure_of_a_sentence_is_one_that_a_command_prints(page):
    text = page.read_text("utf-8")
    assert len(commands(text)) > 3
    assert list(loose_figures(text)) == []


def test_the_python_of_the_page_prints_what_it_says(capsys):
    (block,) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", CHOOSING, flags=re.DOTALL)
    exec(compile(block[0], "choosing.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == block[1]


def test_a_page_as_it_should_be():
    assert filled(PAGE, show) == PAGE
    assert list(loose_figures(PAGE)) == []


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("| 3 | 3.0 |", "| 3 | 3.1 |"),  # a figure of the table
        ("--trials 3", "--trials 4"),  # the command
        ("variant | trials |", "variant | busy |"),  # what it shows
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
        PAGE.replace("variant | trials | completed:.1f", "output from nothing"),
    ],
)
def test_a_page_that_cannot_be_filled(text):
    with pytest.raises(PageError):
        filled(text, show)


def test_several_commands_as_one_table():
    command = "hbsim compare --variant fifo --trials 3 --seeds 2 --surrogate ideal"
    shown = show(
        commands(f"```sh\n{command} --workers 3\n{command}\n```"), "--workers | --no-resume | jobs:.0f"
    )
    assert shown.splitlines()[2:] == ["| `3` | no | 3 |", "| 0 | no | 3 |"]


def test_words_of_commands():
    assert commands("```sh\na --b 1 \\\n  --c 'd e'  # why\n\nf\n```\ntext `g`\n```sh\nh\n```") == [
        ["a", "--b", "1", "--c", "d e"],
        ["f"],
        ["h"],
    ]


def test_check_fails_where_a_page_differs(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    monkeypatch.setattr(choosing, "PAGES", (page,))
    page.write_text(PAGE.replace("3.0 |", "2.9 |"), "utf-8")
    with pytest.raises(SystemExit) as ended:
        choosing.main(["--check"])
    assert ended.value.code == 1
    assert "-| `fifo` | 3 | 2.9 |\n+| `fifo` | 3 | 3.0 |\n" in capsys.readouterr().err
    choosing.main(["--pages"])
    assert page.read_text("utf-8") == PAGE
    with pytest.raises(SystemExit) as ended:
        choosing.main(["--check"])
    assert ended.value.code == 0


def shown(command: str) -> list[dict]:
    """Return the variants that a command prints."""
    return json.loads(printed([*command.split(), "--jobs", "1", "--json"]))["variants"]


def test_the_pictures_show_what_commands_print():
    content = json.loads(FIGURES.read_text("utf-8"))
    study = (
        "hbsim compare --variant promotion --variant stopping --surrogate synthetic --trials 400 --workers 16"
    )
    for row in shown(study):
        (kept,) = (
            one for one in content["workers"] if one["workers"] == 16 and one["variant"] == row["variant"]
        )
        assert kept["busy_share"] == pytest.approx(row["busy_share"], rel=1e-5)
        assert kept["simulated_seconds"] == pytest.approx(row["simulated_seconds"], rel=1e-5)
    study = "hbsim compare --variant stopping --surrogate synthetic:seconds=60 --workers 16 --max-time 14400"
    (row,) = shown(f"{study} --startup 300 --save 60 --load 60")
    (kept,) = (one for one in content["pauses"] if (one["variant"], one["startup"]) == ("stopping", 300))
    assert kept["trained_resource"] == pytest.approx(row["trained_resource"], rel=1e-5)
    assert kept["regret"]["high"] == pytest.approx(row["time_regret_high"], rel=1e-5)


def test_what_the_page_says_of_later_starts():
    rows = json.loads(FIGURES.read_text("utf-8"))["early_ranks"]
    later = [row for row in rows if row["variant"] != choosing_sweeps.STARTS[0]]
    assert len({(row["family"], row["early_rank"]) for row in later}) == 10
    assert not [row for row in later if row["difference"]["high"] < 0]  # none is clearly better
    latest = [row for row in later if row["variant"].endswith("grace_period=9")]
    assert all(row["difference"]["low"] > 0 for row in latest)  # clearly worse
