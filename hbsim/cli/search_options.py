"""Options of a searcher on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hbsim.cli.fields import json_or_text
from hbsim.errors import ParameterError

__all__ = ["search_options"]


def search_options(texts: Sequence[str] | None, points: str | None) -> dict[str, object]:
    """Return the options of a searcher.

    Parameters
    ----------
    texts : sequence of str
        Each ``NAME=VALUE``, a JSON value or a text; the last of a name counts.
    points : str, optional
        A JSON file with a list of configurations that come first.

    Raises
    ------
    ParameterError
        A text has no name, or no ``=``; or there is no such list in the file.
    """
    options: dict[str, object] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError("search_option", text, "must be NAME=VALUE")
        options[name] = json_or_text(value)
    if points is not None:
        options["points_to_evaluate"] = _read(points)
    return options


def _read(points: str) -> object:
    form = 'must be a JSON file with a list of configurations: [{"lr": 0.1}, ...]'
    try:
        content = json.loads(Path(points).read_text("utf-8"))
    except OSError as error:
        rule = f"{form}; it cannot be read: {error.strerror}"
        if points.isdigit():
            rule = f"{form}; of a grid: --search-option 'points={points}'"
        raise ParameterError("points", points, rule) from None
    except ValueError as error:  # no JSON, or no UTF-8
        raise ParameterError("points", points, f"{form}; {error}") from None
    if not isinstance(content, list):
        raise ParameterError("points", points, form)
    return content
