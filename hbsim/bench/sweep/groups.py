"""Which learning curves are the same ones under several names: tests over tasks are to count them once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from hbsim.bench.sweep.axes import SurrogateAxis
from hbsim.surrogates import Surrogate, fingerprint
from hbsim.surrogates.checked import Checked
from hbsim.surrogates.fitted import Fitted
from hbsim.surrogates.table import Table
from hbsim.surrogates.wrapper import Wrapper
from hbsim.surrogates.yahpo import Yahpo

__all__ = ["groups", "origins", "unwrapped"]


def unwrapped(surrogate: Surrogate) -> Surrogate:
    """Return the curves within all wrappers."""
    while isinstance(surrogate, Wrapper | Checked):
        within = surrogate.wrapped
        if not isinstance(within, Wrapper | Table | Fitted | Yahpo) and not isinstance(surrogate, Wrapper):
            break  # a user's own
        surrogate = cast(Surrogate, within)
    return surrogate


def origins(surrogate: Surrogate) -> frozenset[str]:
    """Return what these curves come from; two that share any of it are no independent evidence.

    That is what they hold, without wrappers; and of recorded curves and of a fit the file, of YAHPO the
    instance, whichever metric is read.
    """
    within = unwrapped(surrogate)
    return frozenset({fingerprint(within), *_places(within)})


def _places(within: Surrogate) -> Iterator[str]:
    if isinstance(within, Yahpo):
        yield within.name
    elif isinstance(within, Table | Fitted):
        path = Path(within.source if isinstance(within, Table) else within._model.data.source)
        if path.is_file():  # not so of what ships in an archive
            yield hashlib.sha256(path.read_bytes()).hexdigest()


def groups(found: Mapping[SurrogateAxis, frozenset[str]]) -> tuple[dict[str, str], list[str]]:
    """Return the group of each surrogate, by its name, and what to warn of.

    Parameters
    ----------
    found : mapping
        What each comes from, in the file's order.

    Returns
    -------
    dict, list of str
        The file's group, else that of the first with the same curves that has one in the file, else the
        name of the first with the same curves. A text for each group of the file that is not the first
        one of its curves.
    """
    named: dict[str, str] = {}
    texts: list[str] = []
    for same in _together(found):
        given = [axis for axis in same if axis.group is not None]
        default = given[0].group if given else None
        for axis in same:
            named[axis.name] = axis.group if axis.group is not None else default or same[0].name
        texts += [
            f"{given[0].name} and {axis.name} are of the same curves, and their groups are not the same "
            f"({given[0].group}, {axis.group}): tests over tasks take them for independent"
            for axis in given
            if axis.group != default
        ]
    return named, texts


def _together(found: Mapping[SurrogateAxis, frozenset[str]]) -> list[list[SurrogateAxis]]:
    """Return those that hang together, each in the file's order."""
    parts: list[tuple[frozenset[str], list[SurrogateAxis]]] = []
    for axis, roots in found.items():
        near = [part for part in parts if part[0] & roots]
        parts = [part for part in parts if not part[0] & roots]
        axes = [one for _, others in near for one in others]
        parts.append((roots.union(*(other for other, _ in near)), [*axes, axis]))
    order = list(found)
    return [sorted(axes, key=order.index) for _, axes in parts]
