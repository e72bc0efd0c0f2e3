"""The commands of the README run as they are printed, in their order, in a clone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.cli.conftest import Ran, call
from tests.profile import THOROUGH

__all__ = ["call"]
ROOT = Path(__file__).parents[1]
LONG = ("compare", "sweep", "report")  # half a minute together


def commands() -> Iterator[str]:
    """Yield the lines of the blocks of commands; those of make and pip are run by hand and by CI."""
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL):
        yield from (line for line in block.splitlines() if not line.startswith(("make ", "pip ")))


def test_the_commands_run_in_their_order(call: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    found = list(commands())
    assert {"run", "show", "best", "compare"} <= {line.split()[1] for line in found}
    for line in found:
        program, *words = shlex.split(line, comments=True)
        assert program == "hbsim"
        if words[0] not in LONG or THOROUGH:
            assert call(*words).code == 0, line
