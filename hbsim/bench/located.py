"""Where the files of learning curves are: whole paths, which mean the same in every process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["files_of", "located", "whole_path"]

FIT: Final = "fit:"
FILES: Final = (".npz", ".csv", ".parquet")
OWN: Final = ".py"


def located(text: str, folder: str | os.PathLike[str]) -> str:
    """Return what `hbsim.surrogates.load` takes, with the whole path of a file.

    Parameters
    ----------
    text : str
        A surrogate, as its user wrote it.
    folder : path
        Where a relative path starts.
    """
    if text.startswith(FIT):
        rest = text.removeprefix(FIT)
        return text if rest.split(",")[0] == "digits" else FIT + whole_path(rest, folder)
    path, colon, name = text.rpartition(":")
    if colon and path.endswith(OWN):
        return f"{whole_path(path, folder)}:{name}"
    return whole_path(text, folder) if text.endswith(FILES) else text


def whole_path(path: str, folder: str | os.PathLike[str]) -> str:
    """Return a path that starts at the root."""
    return os.path.abspath(os.path.join(folder, path))


def files_of(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files and folders that are read when learning curves are loaded.

    Parameters
    ----------
    description : mapping
        Keywords of `hbsim.surrogates.load`, with whole paths.
    """
    from hbsim.surrogates.notes import beside

    text = str(description["surrogate"])
    path, colon, _ = text.rpartition(":")
    found = []
    if text.startswith(FIT):
        from hbsim.surrogates.fitted import split_name

        table = split_name(text.removeprefix(FIT))[0]
        found += [] if table == "digits" else [table]
    elif colon and path.endswith(OWN):
        found.append(path)
    elif text.endswith(FILES):
        found.append(text)
    notes = [beside(Path(table)) for table in found if table.endswith(FILES)]
    found += [str(path) for path in notes if path is not None and path.is_file()]
    if description.get("yahpo_data"):
        found.append(str(description["yahpo_data"]))
    return tuple(found)
