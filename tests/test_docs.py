"""The Python of the README and of the pages in docs/ runs as it is printed, and prints what it says."""

import importlib.util
import re
from pathlib import Path

import pytest

from hbsim.bench.page import TEXTS
from tests.cli.conftest import call

__all__ = ["call"]
ROOT = Path(__file__).parents[1]
NAMES = (
    "explanation/asha-paper.md",
    "explanation/brackets.md",
    "explanation/common-random-numbers.md",
    "explanation/how-it-works.md",
    "reference/cluster.md",
    "reference/core.md",
    "reference/diagnosis.md",
    "reference/searchers.md",
    "reference/task-library.md",
    "reference/training-function.md",
)
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in NAMES)]
MODEL_PAGES = ("gaussian-processes.md", "searcher-details.md")
MODELS = pytest.mark.skipif(importlib.util.find_spec("botorch") is None, reason="needs BoTorch")
BLOCK = re.compile(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", flags=re.DOTALL)


@pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        *(pytest.param(ROOT / "docs" / "reference" / name, marks=MODELS) for name in MODEL_PAGES),
    ],
    ids=lambda page: page.name,
)
def test_the_code_of_the_page_runs(page, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "page"}
    blocks = list(BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(page), "exec"), names)  # errors name the page's line
        printed = capsys.readouterr().out
        if block[2] is not None:
            assert printed == block[2]


def test_the_journal_is_read_as_its_page_says(call, capsys):
    train = f"{ROOT / 'examples' / 'train.py'}:train_fn"
    done = call("run", train, "--scheduler", "promotion", "--max-t", "9", "--trials", "3", "--workers", "1")
    assert done.code == 0
    page = (ROOT / "docs" / "reference" / "journal.md").read_text("utf-8")
    (block,) = BLOCK.finditer(page)
    exec(compile(block[1], "journal.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == block[2]


def test_the_command_of_the_page_about_brackets_explains_a_trial(call):
    page = (ROOT / "docs" / "explanation" / "brackets.md").read_text("utf-8")
    (command,) = re.findall(r"```sh\nhbsim (.*?)\n```", page)
    done = call(*command.split())
    assert done.code == 0
    assert "Trial 17 (bracket 0)" in done.out


LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
WRITTEN += [*sorted(ROOT.glob("results/**/*.md")), *sorted(ROOT.glob("surrogates/*.md"))]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_the_page_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target for target in LINK.findall(text) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


SHORT = [
    page for kind in ("explanation", "how-to", "reference") for page in (ROOT / "docs" / kind).glob("*.md")
]


@pytest.mark.parametrize("page", sorted(SHORT), ids=lambda page: page.name)
def test_a_page_is_not_too_long(page):
    """Code, and tables that commands print or that are made from declarations, do not count."""
    text = re.sub(r"```.*?```|<!-- \w+.*?<!-- end -->", "", page.read_text("utf-8"), flags=re.DOTALL)
    assert len(text.split()) <= 1500


def test_the_figures_of_a_page_are_those_of_results():
    """Shares and counts in its sentences are in a page of results that it links to."""
    page = ROOT / "docs" / "explanation" / "trust.md"
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    linked = [page.parent / target for target in LINK.findall(text) if "://" not in target]
    known = " ".join(target.read_text("utf-8") for target in linked if target.suffix == ".md")
    prose = re.sub(r"\]\([^)]*\)", "", text)
    found = re.findall(r"\d[\d,]*\.\d+%|\d{1,3}(?:,\d{3})+ of \d{1,3}(?:,\d{3})+|\d{3,} of \d{3,}", prose)
    assert len(found) > 4
    assert [figure for figure in found if figure not in known] == []


def test_each_decision_record_is_listed():
    folder = ROOT / "docs" / "adr"
    listed = LINK.findall((folder / "README.md").read_text("utf-8"))
    assert listed == sorted(path.name for path in folder.glob("0*.md"))


def test_the_glossary_has_the_terms_of_reports():
    page = (ROOT / "docs" / "reference" / "glossary.md").read_text("utf-8")
    rows = re.findall(r"^\| \*\*(.*?)\*\* \| (.*) \|$", page, flags=re.MULTILINE)
    assert TEXTS["glossary"].items() <= dict(rows).items()
    assert len(dict(rows)) == len(rows)
