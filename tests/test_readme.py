"""The commands of the README run as they are printed, in their order, in a clone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, call
from tests.doubles.sshd import sshd

__all__ = ["call"]
ROOT = Path(__file__).parents[1]
LINES = 120


def commands() -> Iterator[str]:
    """Yield the lines of the blocks of commands but those of make, which CI runs itself."""
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL):
        yield from (line for line in block.splitlines() if not line.startswith("make "))


@pytest.fixture
def reachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make gpu1 and gpu2 names of two hosts, as a user's own ~/.ssh does."""
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    with ExitStack() as stack:
        config = []
        for name in ("gpu1", "gpu2"):
            host = stack.enter_context(sshd(tmp_path / name))
            config += [f"Host {name}", f"  HostName {host.address}", f"  Port {host.port}"]
            config += [f"  User {host.user}", f"  IdentityFile {host.key}"]
            config += [f"  UserKnownHostsFile {host.known_hosts}"]
        (home / "config").write_text("\n".join(config) + "\n")
        monkeypatch.setenv("HOME", str(home.parent))
        yield


def test_the_commands_run_in_their_order(call: Callable[..., Ran], tmp_path: Path, reachable: None) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    found = list(commands())
    wanted = {"plan", "simulate", "compare", "report", "run", "show", "best", "validate"}
    assert wanted <= {line.split()[1] for line in found}
    for line in found:
        program, *words = shlex.split(line, comments=True)
        assert program == "hbsim"
        ran = call(*words)
        assert ran.code == 0, f"{line}\n{ran.err}"


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= LINES
