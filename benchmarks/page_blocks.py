"""Pages whose figures are what their commands print.

A block of shell commands may be followed by a marker, a comment that a reader does not see. It says what of
their output the page shows; what stands between it and the end marker is made from that::

    <!-- shows output -->                             what the commands print
    <!-- shows output from bracket -->                from the first line that starts so
    <!-- shows variant | these curves -->             these columns of a comparison
    <!-- shows --startup | variant | jobs:,.0f -->    several commands' tables as one, options' values first
    <!-- end -->

The columns of a comparison are those of `benchmarks.page_output.rows_of`; numbers have a format
(``jobs:,.0f``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

__all__ = ["PageError", "commands", "filled", "loose_figures"]

Show: TypeAlias = Callable[[list[list[str]], str], str]

BLOCK: Final = re.compile(
    r"```sh\n(?P<shell>[^`]*)```\n\n<!-- shows (?P<what>[^\n]*?) -->\n(?P<shown>.*?)<!-- end -->", re.DOTALL
)
SHELL: Final = re.compile(r"```sh\n([^`]*)```")
MARKER: Final = re.compile(r"<!-- shows ")
CODE: Final = r"```.*?```|<!-- shows .*?<!-- end -->"
# What holds no claim: inline code, comments, and where links lead.
ASIDE: Final = re.compile(r"`[^`\n]*`|<!--.*?-->|\]\([^)]*\)", re.DOTALL)
# A figure that was measured: with a decimal point or a percent sign, or of three digits and more.
FIGURE: Final = re.compile(r"\d[\d,]*\.\d+(?: ?%)?|\d[\d,]* ?%|\d{1,3}(?:,\d{3})+|\d{3,}")
ALLOWED: Final = {"95%", "5%", "100", "0.13", "0.16"}  # intervals, tests, seeds; versions of Syne Tune


class PageError(Exception):
    """A page cannot be filled: a marker stands alone, a command fails, or a column is not there."""


def commands(text: str) -> list[list[str]]:
    """Return the words of all shell commands of a page, in order."""
    return [words for match in SHELL.finditer(text) for words in _split(match[1])]


def _split(shell: str) -> list[list[str]]:
    lines = shell.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def filled(text: str, show: Show) -> str:
    """Return a page with all that it shows made anew.

    Parameters
    ----------
    text : str
        The page, Markdown.
    show : callable
        From commands and what a marker says to what the page shows; `benchmarks.page_output.show`.

    Raises
    ------
    PageError
        A marker has no block of commands before it, or no end.
    """
    alone = len(MARKER.findall(text)) - len(BLOCK.findall(text))
    if alone:
        raise PageError(f"{alone} markers do not follow a block of commands, or have no end")

    def fill(match: re.Match[str]) -> str:
        start = match.start("shown") - match.start()
        shown = show(_split(match["shell"]), match["what"])
        return f"{match[0][:start]}\n{shown}\n\n<!-- end -->"

    return BLOCK.sub(fill, text)


def loose_figures(text: str) -> Iterator[str]:
    """Give each figure of a page's sentences that no command or block of the same section has.

    A section goes from a heading ``##`` to the next.
    """
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        code = " ".join(re.findall(CODE, section, flags=re.DOTALL))
        known = {_plain(figure) for figure in FIGURE.findall(code)}
        known |= {_plain(number) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", code)}
        prose = ASIDE.sub(" ", re.sub(CODE, " ", section, flags=re.DOTALL))
        for figure in FIGURE.findall(prose):
            if _plain(figure) not in known | ALLOWED:
                yield figure


def _plain(figure: str) -> str:
    return figure.replace(" ", "").rstrip(",")
