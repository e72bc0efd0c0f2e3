"""The command that builds the documentation's site, strictly: ``python docs/build.py``, or ``make docs``.

The site is the README, every page under ``docs/`` and each file of the repository that one of these links to,
in the folders where they lie in the repository: a relative link works on the site as it does where code is
hosted. Zensical builds the pages; a link to a page or an anchor that does not exist is an error, and so is an
unknown name of the API. What it does not check is checked here on the HTML: links to other files, and that no
page loads a script, a style, a font or a picture from elsewhere. With a problem the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# The search leaves out a page with this at its top: tables of results would come before the pages about them.
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "image": "href"}
LOADED_BY_STYLES = re.compile(r"(?:url\(|@import\s*)\s*[\"']?((?:https?:)?//[^)\"'\s]+)")


def files_of_the_site(root: Path) -> set[Path]:
    """Return the README, what is under ``docs/``, and the files that their pages link to, directly or not."""
    found: set[Path] = set()
    left = [root / "README.md", *(path for path in (root / "docs").rglob("*") if path.is_file())]
    while left:
        path = left.pop()
        if path in found or (path.suffix in (".py", ".pyc") and path.is_relative_to(root / "docs")):
            continue
        found.add(path)
        if path.suffix == ".md":
            for link in LINK.findall(path.read_text("utf-8")):
                target = Path(os.path.normpath(path.parent / link))
                target = target / "README.md" if target.is_dir() else target
                if target.is_file() and target.is_relative_to(root):
                    left.append(target)
    return found


def lay_out(root: Path, pages: Path) -> None:
    """Put the site's files into a folder of their own, as links, which `zensical serve` follows, too."""
    shutil.rmtree(pages, ignore_errors=True)
    for path in files_of_the_site(root):
        place = pages / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md" and path.is_relative_to(root / "results"):
            place.write_text(NOT_SEARCHED + path.read_text("utf-8"), "utf-8")
        else:
            place.symlink_to(path)
    (pages / "docs" / "nav.yml").rename(pages / ".nav.yml")


class Page(HTMLParser):
    """The anchors of a page of HTML, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag's anchor, its link, or what it loads."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        elif (
            tag in LOADING
            and LOADING[tag] in values
            and values.get("rel") not in ("canonical", "next", "prev")
        ):
            self.loads.add(values[LOADING[tag]])


def problems(site: Path) -> list[str]:
    """Return what is wrong with the built site, a line each."""
    pages = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    found = []
    for path, page in sorted(pages.items()):
        name = path.relative_to(site)
        for link in sorted(page.links | page.loads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loads and parts.scheme != "data":
                    found.append(f"{name}: loads {link} from elsewhere")
                continue
            target = path
            if parts.path:
                start = site if parts.path.startswith("/") else path.parent
                target = Path(os.path.normpath(start / unquote(parts.path).lstrip("/")))
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{name}: {link} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name}: {link} leads to no anchor")
    for path in sorted(site.rglob("*.css")):
        for link in LOADED_BY_STYLES.findall(path.read_text("utf-8")):
            found.append(f"{path.relative_to(site)}: loads {link} from elsewhere")
    return found


def build(root: Path) -> list[str]:
    """Build the site and return what is wrong with it, a line each."""
    lay_out(root, root / "build" / "pages")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=root, check=False, text=True, capture_output=True)
    if done.returncode:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        return said.partition("Traceback")[0].splitlines() + re.findall(r"^\w+Error: .*", said, re.M)
    return problems(root / "site")


def main() -> int:
    """Build the site and return the exit code."""
    parser = argparse.ArgumentParser(description="Build the documentation's site into site/, strictly.")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="The repository.")
    root = parser.parse_args().root.resolve()
    found = build(root)
    print("\n".join(found) if found else f"Open {root / 'site' / 'index.html'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
