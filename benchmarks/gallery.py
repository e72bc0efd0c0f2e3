"""The pictures of docs/gallery.md, made by the commands that the page prints: `python -m benchmarks.gallery`.

The commands and the Python of the page run in its order in one folder; with titles of sections, only theirs.
A picture ``pictures/NAME.png`` is taken from what the block after it writes: ``NAME.png``, the first
``NAME-*.png``, ``FOLDER/FIGURE.png`` if NAME is ``FOLDER-FIGURE``, or a screenshot of ``NAME.html``.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.doc_pages import commands
from benchmarks.measure import ROOT, say
from benchmarks.pages import shrink

PAGE: Final = ROOT / "docs" / "gallery.md"
PARTS: Final = re.compile(
    r"^## (?P<section>[^\n]+)|!\[[^\]]*\]\((?P<picture>pictures/[^)]+)\)"
    r"|```(?P<kind>sh|python)\n(?P<text>.*?)```",
    re.M | re.S,
)
WINDOW: Final = "1200,1500"  # of a screenshot, px


class Block(NamedTuple):
    """Commands or Python of a section of the page, and the names of the pictures above them."""

    section: str
    kind: str
    text: str
    pictures: list[str]


def blocks() -> Iterator[Block]:
    """Yield the blocks of the page in its order."""
    section, pictures = "", list[str]()
    for part in PARTS.finditer(PAGE.read_text("utf-8")):
        if part["picture"]:
            pictures.append(Path(part["picture"]).stem)
        elif part["section"]:
            section = part["section"]
        else:
            yield Block(section, part["kind"], part["text"], pictures)
            pictures = []


def run(block: Block, folder: Path) -> None:
    """Run a block in a folder."""
    if block.kind == "python":
        subprocess.run([sys.executable, "-c", block.text], cwd=folder, check=True)
        return
    for words in commands(f"```sh\n{block.text}```"):
        say(shlex.join(words))
        subprocess.run([sys.executable, "-m", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def source(name: str, files: set[Path]) -> Path:
    """Return the file that a picture is taken from, of those that a block wrote."""
    for pattern in (rf"{name}\.(png|html)", rf"{name}-.*all-settings.*\.png", rf"{name}-.*\.png"):
        if found := sorted(path for path in files if re.fullmatch(pattern, path.name)):
            return found[0]
    for path in files:
        if name == f"{path.parent.name}-{path.stem}":
            return path
    raise FileNotFoundError(f"no {name}.png, {name}-*.png or {name}.html was written")


def screenshot(page: Path, picture: Path) -> None:
    """Write a picture of the top of a page."""
    browser = shutil.which("chromium") or "google-chrome"
    options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={WINDOW}"]
    options += ["--virtual-time-budget=10000", f"--screenshot={picture}"]
    subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True)


def main(sections: Sequence[str] = ()) -> None:
    """Run the page, or some of its sections, and write their pictures."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "examples").symlink_to(ROOT / "examples")
        known: set[Path] = set()
        for block in blocks():
            if sections and block.section not in sections:
                continue
            run(block, folder)
            files = {path for path in folder.rglob("*") if path.suffix in (".png", ".html")}
            for name in block.pictures:
                picture = PAGE.parent / "pictures" / f"{name}.png"
                taken = source(name, files - known)
                if taken.suffix == ".html":
                    screenshot(taken, picture)
                else:
                    shutil.copyfile(taken, picture)
                shrink(picture)
            known = files


if __name__ == "__main__":
    main(sys.argv[1:])
