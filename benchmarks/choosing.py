"""Make the figures of two pages in docs/ anew: `python -m benchmarks.choosing --help`.

Comparisons are run once, and kept in `choosing.json`, which the pages are filled from. The same pages give
the same bytes.
"""

from __future__ import annotations

import argparse
import difflib
import json
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ROOT, rounded, say, write_json
from benchmarks.page_blocks import PageError, commands, filled, loose_figures
from benchmarks.page_output import Row, run_comparison, show

__all__ = ["KEPT", "PAGES", "comparisons", "kept_rows", "main"]

PAGES: Final = tuple(ROOT / "docs" / "explanation" / name for name in ("choosing.md", "stopping-rules.md"))
FOLDER: Final = ROOT / "results" / "choosing"
KEPT: Final = "choosing.json"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check",
        action="store_true",
        help="say what differs from what is kept; exit with 1 if anything does",
    )
    parser.add_argument("--pages", action="store_true", help="run only what is not kept: fill the pages")
    parser.add_argument("--out", type=Path, default=FOLDER, help="a folder for what is kept, and pictures")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    return parser.parse_args(arguments)


def comparisons() -> list[list[str]]:
    """Return the words of the comparisons on the pages."""
    found = [words for page in PAGES if page.exists() for words in commands(page.read_text("utf-8"))]
    return [words for words in found if words[:2] == ["hbsim", "compare"]]


def kept_rows(content: dict[str, Any], words: list[str]) -> list[Row]:
    """Return the rows of a comparison that are kept.

    Raises
    ------
    PageError
        There are none.
    """
    try:
        rows: list[Row] = content["comparisons"][shlex.join(words)]
    except KeyError:
        raise PageError(f"{shlex.join(words)}: is not kept; python -m benchmarks.choosing runs it") from None
    return rows


def update(page: Path, content: dict[str, Any], check: bool) -> bool:
    """Fill a page; return whether it was as it should be."""
    before = page.read_text("utf-8")
    after = filled(before, partial(show, compared=partial(kept_rows, content)))
    loose = list(loose_figures(after))
    for figure in loose:
        say(f"{page.name}: no command of its section prints {figure}")
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    sys.stderr.writelines(difflib.unified_diff(old, new, page.name, "made anew", n=0))
    if not check:
        page.write_text(after, "utf-8")
    return before == after and not loose


def measure(kept: dict[str, Any], path: Path, jobs: int, is_new: bool) -> dict[str, Any]:
    """Run comparisons, those that are kept too if `is_new`, and write what they came to after each."""
    content: dict[str, Any] = {**kept, "command": "python -m benchmarks.choosing", "comparisons": {}}
    for words in comparisons():
        name = shlex.join(words)
        known = None if is_new else kept.get("comparisons", {}).get(name)
        if known is None:
            say(name)
            known = rounded(run_comparison(words, jobs))
        content["comparisons"][name] = known
        write_json(path, content)
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = parse(arguments)
    path = options.out / KEPT
    content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if not options.check:
        content = measure(content, path, options.jobs, is_new=not options.pages)
    good = [update(page, content, options.check) for page in PAGES if page.exists()]
    if options.check:
        sys.exit(0 if all(good) else 1)
    if not options.pages:
        from benchmarks.choosing_charts import draw

        write_json(path, {**content, **draw(options.out, options.jobs)})


if __name__ == "__main__":
    main()
