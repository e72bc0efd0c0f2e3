"""How processes that run a comparison's studies come by its learning curves."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hbsim.cli.fields import given
from hbsim.cli.options import FileOptions

if TYPE_CHECKING:
    from hbsim.bench import Remote
    from hbsim.surrogates import Surrogate

__all__ = ["loader"]


def loader(
    surrogate: str, files: FileOptions, curves: Surrogate, remote: Remote | None
) -> tuple[Callable[[], Surrogate], Remote | None]:
    """Return what loads learning curves in a process, and a cluster that is asked for their files.

    On other hosts they are read by whole paths, and have to be the same curves as here.

    Parameters
    ----------
    surrogate : str
        As it was given.
    files : FileOptions
        How it is read.
    curves : Surrogate
        The curves, as they are here.
    remote : Remote, optional
        The cluster, if there is one.
    """
    if remote is None:
        return partial(files.load, surrogate), None
    from hbsim.bench.located import files_of, located, whole_path
    from hbsim.bench.sweep.curves import load_curves
    from hbsim.surrogates.fingerprint import fingerprint

    here = os.getcwd()
    description: dict[str, Any] = {"surrogate": located(surrogate, here), **given(files)}
    if files.yahpo_data is not None:
        description["yahpo_data"] = whole_path(files.yahpo_data, here)
    load = partial(load_curves, description, fingerprint(curves))
    return load, replace(remote, files=files_of(description))
