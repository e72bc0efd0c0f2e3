"""The Python of the README and of the pages in docs/ runs as it is printed, and prints what it says."""

import importlib.util
import re
from pathlib import Path

import pytest

from hbsim.bench.page import TEXTS

ROOT = Path(__file__).parents[1]
NAMES = (
    "explanation/asha-paper.md",
    "explanation/brackets.md",
    "how-to/loggers-and-callbacks.md",
    "how-to/remote-hosts.md",
    "how-to/tune-a-script.md",
    "reference/cluster.md",
    "reference/core.md",
    "reference/diagnosis.md",
    "reference/training-function.md",
)
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in NAMES)]
MODELS = pytest.mark.skipif(importlib.util.find_spec("botorch") is None, reason="needs BoTorch")
BLOCK = re.compile(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", flags=re.DOTALL)


@pytest.mark.parametrize(
    "page",
    [*PAGES, pytest.param(ROOT / "docs" / "reference" / "searchers.md", marks=MODELS)],
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


LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
WRITTEN += [*sorted(ROOT.glob("results/**/*.md")), *sorted(ROOT.glob("surrogates/*.md"))]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_the_page_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target for target in LINK.findall(text) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_glossary_has_the_terms_of_reports():
    page = (ROOT / "docs" / "reference" / "glossary.md").read_text("utf-8")
    rows = re.findall(r"^\| \*\*(.*?)\*\* \| (.*) \|$", page, flags=re.MULTILINE)
    assert TEXTS["glossary"].items() <= dict(rows).items()
    assert len(dict(rows)) == len(rows)
