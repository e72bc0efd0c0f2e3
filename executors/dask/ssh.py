"""Hosts reached by SSH: what is installed there, and a folder for the length of a run."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.ssh_connect import brief, connect, limit, python_word, too_slow
from hbsim.executors.dask.tether import KEEPS
from hbsim.executors.dask.tether import PATIENCE as TETHER_PATIENCE
from hbsim.executors.dask.versions import differences, versions
from hbsim.executors.dask.where import reachable

__all__ = ["Host", "Hosts"]

IMPORTS: Final = 60.0  # seconds that Python may take there to look for packages: network disks are slow
_FEW: Final = 5  # hosts that have a line each
_MARK: Final = "hbsim found "
_PROBE: Final = f"""
import json, os, platform, sys
sys.path[:] = [place for place in sys.path if place]
found = {{"python": platform.python_version()}}
try:
    import hbsim
    found["hbsim"] = hbsim.__version__
except (ImportError, AttributeError, SyntaxError) as error:
    found["error"] = str(error)
try:
    from importlib.metadata import version
    found["distributed"] = version("distributed")
except Exception:
    pass
count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
way = os.environ.get("SSH_CONNECTION", "").split()
print("{_MARK}" + json.dumps(dict(found, cores=count, address=way[2] if len(way) == 4 else "")))
"""


class Host:
    """One host, with a connection and a folder of its own as long as it is open.

    Parameters
    ----------
    name : str
        As its user wrote it.
    options : Dask
        How it is reached.

    Attributes
    ----------
    folder : str
        On the host, for its user only.
    cores : int
        How many may be used there.
    address : str
        Where this machine has reached it, as the host itself sees it; "" where others cannot reach that.
    """

    def __init__(self, name: str, options: Dask) -> None:
        self.name = name
        self.folder = ""
        self.cores = 1
        self.address = ""
        self._options = options
        self._python = python_word(options)
        self._connection: Any = None
        self._keeper: Any = None

    async def open(self, files: Mapping[str, str]) -> None:
        """Connect, look for hbsim, and make the folder with these files.

        Raises
        ------
        ParameterError
            Names the host or its Python, and what can be done.
        """
        import asyncssh

        self._connection = await connect(self._options, self.name)
        try:
            self._check(await self._look())
            self.folder = await self._keep(files)
        except (OSError, asyncssh.Error) as error:
            raise self._wrong(f"SSH failed: {brief(error)}") from None

    async def close(self) -> None:
        """Remove the folder, once all that runs in it has ended, and disconnect."""
        import asyncssh

        if self._connection is None:
            return
        try:
            if self._keeper is not None:
                with suppress(OSError, asyncssh.Error):
                    self._keeper.stdin.write_eof()
                    await asyncio.wait_for(self._keeper.wait_closed(), TETHER_PATIENCE + 3.0)
        finally:
            self._connection.close()
            await self._connection.wait_closed()

    async def _look(self) -> dict[str, Any]:
        """Return what is installed there."""
        command = f"{self._python} -c {shlex.quote(_PROBE)}"
        seconds = limit(self._options, IMPORTS)
        try:
            done = await self._connection.run(command, timeout=seconds)
        except TimeoutError:
            raise too_slow(self.name, "Python there has not looked for hbsim", seconds) from None
        for line in done.stdout.splitlines():  # a shell's start-up files may say something, too
            if line.startswith(_MARK):
                found: dict[str, Any] = json.loads(line.removeprefix(_MARK))
                return found
        said = done.stderr.strip().splitlines() or [f"exit code {done.exit_status}"]
        raise self._wrong_python(f"cannot be run on {self.name} ({said[-1]})", "")

    def _check(self, found: Mapping[str, Any]) -> None:
        ours = {name: text for name, text in versions().items() if name != "torch"}
        install = f'pip install "hbsim[dask]=={ours["hbsim"]}" there, or '
        if "error" in found:
            raise self._wrong_python(f"has no hbsim on {self.name} ({found['error']})", install)
        if problem := differences(ours, found)[0]:
            raise self._wrong_python(f"has {problem} on {self.name}", install)
        if "distributed" not in found:
            raise self._wrong_python(f"has no Dask on {self.name}", install)
        self.cores = int(found["cores"])
        self.address = reachable(found["address"])

    async def _keep(self, files: Mapping[str, str]) -> str:
        command = f"{self._python} -P -m hbsim.executors.dask.tether keep"
        self._keeper = await self._connection.create_process(command)
        self._keeper.stdin.write(json.dumps(dict(files)) + "\n")
        seconds = limit(self._options, IMPORTS)
        try:
            async with asyncio.timeout(seconds):
                async for line in self._keeper.stdout:
                    if line.startswith(KEEPS):
                        return str(line.removeprefix(KEEPS).rstrip("\n"))
                said = (await self._keeper.stderr.read()).strip().splitlines()
        except TimeoutError:
            raise too_slow(self.name, "the tether there has not started", seconds) from None
        said = said or ["for no reason that it says"]
        raise self._wrong(f"a folder for temporary files cannot be made there ({said[-1]})")

    def _wrong(self, rule: str) -> ParameterError:
        return ParameterError("hosts", self.name, rule)

    def _wrong_python(self, problem: str, cure: str) -> ParameterError:
        python = self._options.ssh_python or sys.executable
        rule = f"{problem}: {cure}give ssh_python, a Python that has hbsim[dask] there"
        return ParameterError("ssh_python", python, rule)


class Hosts:
    """All hosts of a run.

    Parameters
    ----------
    names : sequence of str
        A host may be there more than once.
    options : Dask
        How they are reached.
    """

    def __init__(self, names: Sequence[str], options: Dask) -> None:
        self._hosts = {name: Host(name, options) for name in names}

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    async def open(self, files: Mapping[str, str], say: Callable[[str], None] = lambda line: None) -> None:
        """Open all hosts; `close` is to be called also if this raises.

        Parameters
        ----------
        files : mapping of str to str
            For the folder of each.
        say : callable
            Given a line on each host that answers, if they are few.

        Raises
        ------
        ParameterError
            Of the first of them that cannot be used.
        """
        few = len(self._hosts) <= _FEW
        say(f"connecting to {', '.join(self._hosts) if few else f'{len(self._hosts)} hosts'} by SSH")

        async def open_one(host: Host) -> None:
            await host.open(files)
            if few:
                say(f"{host.name} is ready: {host.cores} CPU core{'s' * (host.cores != 1)}")

        opening = map(open_one, self._hosts.values())
        for error in await asyncio.gather(*opening, return_exceptions=True):
            if isinstance(error, BaseException):
                raise error
        if not few:
            say(f"all {len(self._hosts)} hosts are ready")

    async def close(self) -> None:
        """Close all hosts that are open."""
        await asyncio.gather(*(host.close() for host in self._hosts.values()), return_exceptions=True)
