r"""Output of text to a terminal, with control characters escaped.

Titles, names of files and reasons of failures may come from other people. Their escape sequences, carriage
returns and marks of direction are printed as ``\x1b``, ``\r`` and ``\u202e``; line ends and tabs are kept.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

# C0 and C1, invisible characters and marks of direction, line separators, halves of surrogate pairs.
STEERS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    r"""Return a text with control characters as Python's escapes: ``"\x1b"``."""
    return STEERS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def print_out(text: str, end: str = "\n") -> None:
    """Write a text to stdout."""
    print(shown(text), end=end, flush=True)


def print_err(text: str, end: str = "\n") -> None:
    """Write a text to stderr."""
    print(shown(text), end=end, file=sys.stderr, flush=True)


def console(stderr: bool = False, width: int | None = None) -> Console:
    """Return a Rich console without markup, which applies `shown` to plain and styled text."""
    made: Console = _kind()(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
    return made


@cache
def _kind() -> type[Console]:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class Shown(Console):
        """A console that escapes texts before the layout, and all others when they are rendered."""

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(shown(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(shown(segment.text), segment.style)

    return Shown
