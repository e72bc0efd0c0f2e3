"""Make the figures of two pages in docs/ anew: `python -m benchmarks.choosing --help`.

The same pages give the same bytes. With `--check` nothing is written.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.measure import ROOT, say
from benchmarks.page_blocks import filled, loose_figures
from benchmarks.page_output import show

__all__ = ["PAGES", "main"]

PAGES: Final = tuple(ROOT / "docs" / "explanation" / name for name in ("choosing.md", "stopping-rules.md"))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="say what differs, and exit with 1 if anything does"
    )
    parser.add_argument("--pages", action="store_true", help="only the pages, not the pictures")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "results" / "choosing", help="a folder for pictures"
    )
    return parser.parse_args(arguments)


def update(page: Path, check: bool) -> bool:
    """Make a page's figures anew; return whether it was as it should be."""
    before = page.read_text("utf-8")
    after = filled(before, show)
    loose = list(loose_figures(after))
    for figure in loose:
        say(f"{page.name}: no command of its section prints {figure}")
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    sys.stderr.writelines(difflib.unified_diff(old, new, page.name, "made anew", n=0))
    if not check:
        page.write_text(after, "utf-8")
    return before == after and not loose


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = parse(arguments)
    good = [update(page, options.check) for page in PAGES if page.exists()]
    if options.check:
        sys.exit(0 if all(good) else 1)
    if not options.pages:
        from benchmarks.choosing_charts import draw

        draw(options.out)


if __name__ == "__main__":
    main()
