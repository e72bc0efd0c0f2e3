r"""The one way of text to a terminal: what is in it is shown, and steers nothing.

Titles, names of files and reasons of failures are written by others. Their escape sequences, carriage returns
and marks of direction stand there as ``\x1b``, ``\r`` and ``\u202e``; lines and tabs stay.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

__all__ = ["console", "print_err", "print_out", "shown"]

# C0 and C1, what is not seen or turns the direction of text, separators of lines, halves of characters.
STEERS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    r"""Return a text with what steers a terminal as Python writes it: ``"\x1b"``."""
    return STEERS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def print_out(text: str, end: str = "\n") -> None:
    """Write a text to stdout."""
    print(shown(text), end=end, flush=True)


def print_err(text: str, end: str = "\n") -> None:
    """Write a text to stderr."""
    print(shown(text), end=end, file=sys.stderr, flush=True)


def console(stderr: bool = False, width: int | None = None) -> Console:
    """Return a Rich console without markup, which prints plain and styled text alike as `shown` has it."""
    made: Console = _kind()(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
    return made


@cache
def _kind() -> type[Console]:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class Shown(Console):
        """Texts are changed before they are laid out; what comes in another way, as it is drawn."""

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(shown(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(shown(segment.text), segment.style)

    return Shown
