"""Where the files of YAHPO Gym's surrogates are: by option, by variable, or as yahpo-gym has it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hbsim.errors import SurrogateError

__all__ = ["MODEL", "VARIABLE", "find_folder", "read_json", "settings_path"]

VARIABLE: Final = "HBSIM_YAHPO_DATA"
MODEL: Final = "model.onnx"
_SETTINGS_VARIABLE: Final = "YAHPO_LOCAL_CONFIG"
_SETTINGS: Final = "~/.config/yahpo_gym"
_SOURCE: Final = "the files are those of github.com/slds-lmu/yahpo_data, or of one of its releases"
# One key of a YAML mapping; a long path may go on in lines that are indented.
_DATA_PATH: Final = re.compile(r"^data_path[ \t]*:[ \t]*(\S.*(?:\n[ \t]+\S.*)*)$", re.MULTILINE)
_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")


def find_folder(scenario: str, given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that holds a scenario's files.

    The first of these that is there decides: `given`; the variable ``HBSIM_YAHPO_DATA``; `data_path` in
    yahpo-gym's settings, ``~/.config/yahpo_gym`` or the file that the variable ``YAHPO_LOCAL_CONFIG``
    names. Each is a folder with the scenario's folder in it, or the scenario's folder itself.

    Parameters
    ----------
    scenario : str
        Such as ``lcbench``.
    given : path, optional
        What its user says.

    Raises
    ------
    SurrogateError
        No folder is named, or it is not there or holds no such files.
    """
    folder, origin = _named_folder(scenario, given)
    if not os.path.isdir(folder):
        raise SurrogateError(str(folder), f"no such folder, which {origin} names; {_SOURCE}")
    for place in (folder / scenario, folder):
        if (place / MODEL).exists():
            return place
    problem = f"no such file, in the folder that {origin} names, and none in {scenario}/ there; {_SOURCE}"
    raise SurrogateError(str(folder / MODEL), problem)


def read_json(path: Path) -> Mapping[str, object]:
    """Return the JSON object in a file.

    Raises
    ------
    SurrogateError
        There is no such file, it cannot be read, or it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SurrogateError(str(path), f"no such file; {_SOURCE}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SurrogateError(str(path), f"is no JSON that can be read: {error}") from None
    if not isinstance(found, dict):
        raise SurrogateError(str(path), "must be a JSON object")
    return found


def settings_path() -> Path:
    """Return where yahpo-gym keeps its settings."""
    return Path(os.environ.get(_SETTINGS_VARIABLE) or _SETTINGS).expanduser()


def _named_folder(scenario: str, given: str | os.PathLike[str] | None) -> tuple[Path, str]:
    """Return the folder that is named, and what names it."""
    if given is not None:
        return Path(given).expanduser(), "yahpo_data"
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser(), VARIABLE
    settings = settings_path()
    path = _data_path(settings)
    if path:
        return Path(path).expanduser(), str(settings)
    problem = f"its files are needed: name their folder by yahpo_data or {VARIABLE}; {_SOURCE}"
    raise SurrogateError(f"yahpo:{scenario}", problem)


def _data_path(settings: Path) -> str:
    """Return `data_path` of yahpo-gym's settings, nothing where there is none."""
    try:
        found = _DATA_PATH.search(settings.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise SurrogateError(str(settings), f"yahpo-gym's settings cannot be read: {error}") from None
    text = found[1] if found else ""
    if text.startswith('"'):
        text = re.sub(r"\\\n[ \t]+", "", text)  # a line that ends in a backslash goes on without a space
    return _unquoted(re.sub(r"\s*\n\s+", " ", text))


def _unquoted(text: str) -> str:
    """Return what a YAML scalar of one line stands for: plain, or in quotes of either kind."""
    quoted = re.match(r"""'((?:[^']|'')*)'|"((?:[^"\\]|\\.)*)\"""", text)
    if quoted is None:
        return re.sub(r"(^|\s+)#.*", "", text).strip()
    if quoted[1] is not None:
        return quoted[1].replace("''", "'")
    return _ESCAPE.sub(_unescaped, quoted[2])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else str(match[4])
