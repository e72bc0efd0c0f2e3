"""The documentation's site: built strictly, loaded from nowhere else, and searched without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.report.browser import Browser
from tests.bench.report.conftest import browser

__all__ = ["browser"]
ROOT = Path(__file__).parents[1]
pytest.importorskip("zensical", reason="needs hbsim[docs]")


def build(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "docs" / "build.py", "--root", root]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site of this repository, built in a folder of its own."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "docs", root / "docs")
    shutil.copy(ROOT / "zensical.toml", root)  # a link would have the site built where it leads
    for path in ROOT.iterdir():
        if path.name not in ("docs", "zensical.toml", "build", "site", ".cache"):
            (root / path.name).symlink_to(path)
    done = build(root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "site"


def test_the_site_has_the_pages_and_what_they_link_to(site: Path) -> None:
    pages = [path.relative_to(ROOT).with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page.name != "README.html" and not (site / page).is_file()] == []
    assert (site / "results" / "sweeps" / "small" / "report.html").is_file()
    assert (site / "results" / "choosing" / "early_ranks.png").is_file()
    reference = (site / "docs" / "reference" / "api.html").read_text("utf-8")
    assert 'id="hbsim.simulate"' in reference
    assert "option(" not in reference  # a declaration in place of a default


SEARCH = (
    "[...document.querySelectorAll('*')].find((one) => one.shadowRoot?.querySelector('dialog'))?.shadowRoot"
)


def test_the_site_is_searched_without_a_network(site: Path, browser: Browser) -> None:
    browser.open((site / "index.html").as_uri(), is_drawn=False)
    browser.wait_for(
        f"""const search = {SEARCH};
            if (!search?.querySelector('dialog').open) document.querySelector('.md-search__button')?.click();
            return search?.activeElement?.tagName === 'INPUT'"""
    )
    browser.driver.switch_to.active_element.send_keys("make_scheduler")
    found = f"[...({SEARCH}.querySelectorAll('[role=listbox] a'))].map((one) => one.href)"
    browser.wait_for(f"return {found}.some((link) => link.includes('docs/reference/api'))")
    assert [link for link in browser.run(f"return {found}") if "/results/" in link] == []
    assert {url for url in browser.requests() if not url.startswith(("file:", "data:", "about:"))} == set()
    assert browser.complaints() == []


BROKEN = {
    "pages and names": {
        "[page](docs/gone.md)": "page does not exist",
        "[anchor](docs/page.md#gone)": "anchor does not exist",
        "[name][hbsim.nothing]": "unresolved autoref",
    },
    "docstrings": {"::: nothing.at_all": "Could not collect 'nothing.at_all'"},
    "files": {
        "[file](examples/gone.py)": "index.html: examples/gone.py leads nowhere",
        '<img src="https://example.org/x.png">': "index.html: loads https://example.org/x.png from elsewhere",
    },
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_leads_nowhere_fails(what: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("zensical.toml", "docs/defaults.py", "docs/iframe-worker.js", "docs/site.css"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "hbsim").symlink_to(ROOT / "hbsim")
    (tmp_path / "docs" / "nav.yml").write_text("nav:\n  - README.md\n  - docs/*\n")
    (tmp_path / "docs" / "page.md").write_text("# Page\n")
    (tmp_path / "README.md").write_text("\n\n".join(["# Start", *BROKEN[what]]))
    done = build(tmp_path)
    assert done.returncode == 1
    assert [problem for problem in BROKEN[what].values() if problem not in done.stdout] == []
