"""The newest checkpoint of a trial, as tests look at it."""

from __future__ import annotations

import os
from typing import Any

from hbsim.executors.checkpoint import Meta, load_own, newest


def load_newest(folder: os.PathLike[str] | str) -> Any:
    """Return the object that was saved last, None if nothing was saved."""
    return load_own(folder, None).value


def describe_newest(folder: os.PathLike[str] | str) -> Meta | None:
    """Return the description of the newest complete checkpoint, None if there is none."""
    found = newest(folder)
    return None if found is None else found[1]
