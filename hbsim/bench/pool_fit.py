"""Whether a Dask cluster would give what this process does: the name of a cell is of its inputs alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from hbsim.bench.pool_loop import Loop, is_done
from hbsim.bench.pool_remote import Remote
from hbsim.bench.pool_there import PACKAGES, SAME, absence, look, versions
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.dask.versions import differences

__all__ = ["PATIENCE", "Fit"]

PATIENCE: Final = 10.0  # seconds for an answer


class Fit:
    """Looks at what is installed on a cluster, at the scheduler and at each worker once.

    Parameters
    ----------
    client : distributed.Client
        Its connection.
    remote : Remote
        What is asked for, with the files that workers need.
    loop : Loop
        The client's.
    """

    def __init__(self, client: Any, remote: Remote, loop: Loop) -> None:
        self.versions = versions()
        self._client, self._remote, self._loop = client, remote, loop
        self._asked: Future[Any] | None = None
        self._met: set[str] = set()
        self._warned: set[tuple[str, str]] = set()

    def check_scheduler(self) -> None:
        """Look at the scheduler, which reads what is sent to workers.

        Raises
        ------
        ParameterError
            It has another version of hbsim or Python.
        """
        work = self._client.run_on_scheduler(look, asynchronous=True)
        try:
            found = self._loop.wait(work, PATIENCE)
        except Exception as error:
            raise self._wrong(f"the scheduler cannot run hbsim ({_brief(error)})") from None
        if problem := differences(self.versions, found["versions"])[0]:
            raise self._wrong(f"the scheduler has {problem}")

    def check(self, addresses: Iterable[str], seconds: float = 0.0) -> None:
        """Look at the workers that are new, while others work; a later call has what they answer.

        Parameters
        ----------
        addresses : iterable of str
            Of all workers.
        seconds : float
            How long to wait for answers.

        Raises
        ------
        ParameterError
            One has another version of hbsim or Python, or lacks a file.
        """
        new = [address for address in addresses if address not in self._met]
        if self._asked is None and new:
            ask = partial(self._client.run, look, self._remote.files, on_error="return", asynchronous=True)
            self._asked = self._loop.start(ask(workers=new))
        if self._asked is None or not is_done(self._asked, seconds):
            return
        asked, self._asked = self._asked, None
        found = asked.result()
        for address, facts in found.items():
            if isinstance(facts, OSError):  # it has gone meanwhile
                continue
            if isinstance(facts, BaseException):
                raise self._wrong(f"the worker {address} cannot run hbsim ({_brief(facts)})")
            self._met.add(address)
            self._compare(address, facts)
        self._check_files(found.values())

    def _compare(self, address: str, facts: Mapping[str, Any]) -> None:
        there, where = facts["versions"], f"the worker {address} on {facts['host']}"
        if problem := differences(self.versions, there)[0]:
            raise self._wrong(f"{where} has {problem}")
        for name, consequence in PACKAGES.items():
            ours, theirs = self.versions[name], there.get(name, "none")
            if ours != theirs and (name, theirs) not in self._warned:
                self._warned.add((name, theirs))
                text = f"{where} has {name} {theirs}, and here it is {ours}: {consequence}"
                warnings.warn(HbsimWarning(text), stacklevel=2)

    def _check_files(self, found: Iterable[Any]) -> None:
        lacking: dict[str, list[str]] = {}
        for facts in found:
            for file in facts["absent"] if isinstance(facts, dict) else ():
                lacking.setdefault(file, []).append(facts["host"])
        for file, hosts in lacking.items():
            raise self._remote.wrong(absence(file, hosts))

    def _wrong(self, problem: str) -> ParameterError:
        return self._remote.wrong(f"{problem}: {SAME}")


def _brief(error: BaseException) -> str:
    name = "" if type(error) is Exception else f"{type(error).__name__}: "  # Dask has put it into words
    return f"{name}{' '.join(str(error).split())[:200]}"
