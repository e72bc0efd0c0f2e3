"""Objects in files: `hbsim.save`, and the half of `hbsim.load` that reads them. Reading executes nothing."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from hbsim.errors import OutputError
from hbsim.executors import checkpoint_values


def save(obj: object, path: str | os.PathLike[str]) -> None:
    """Write an object to a file, from which `hbsim.load` reads it; an existing file is replaced atomically.

    Parameters
    ----------
    obj : object
        What a checkpoint can hold: None, numbers, text, bytes, NumPy arrays and PyTorch tensors, in lists,
        tuples, sets and dicts; such as the `state_dict` of a scheduler.
    path : path
        The file; its folder is made if it does not exist.

    Raises
    ------
    ParameterError
        Something in the object cannot be saved; nothing has been written.
    OutputError
        The file cannot be written.
    """
    file = Path(path)
    temporary = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as out:
            checkpoint_values.write(out, obj)
        os.replace(temporary, file)
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def read_saved(path: str | os.PathLike[str]) -> Any:
    """Return the object in a file of `save`, or in a JSON file, as a scheduler's own `save` writes it.

    Raises
    ------
    OutputError
        It cannot be read.
    """
    try:
        try:
            return checkpoint_values.read(Path(path))
        except checkpoint_values.Unreadable as error:
            problem = str(error)
        return json.loads(Path(path).read_text("utf-8"))
    except ValueError:
        text = f"is neither a file of hbsim.save nor the folder of a study, or it is damaged: {problem}"
        raise OutputError(str(path), text) from None
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
