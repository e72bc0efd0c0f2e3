"""Training functions made of a command line: a script in any language, which runs as a child process.

The script runs in the process group of the trial's process, which passes its reports on. All that concerns
the study (journal, checkpoints, signals, hosts) is as for a function.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hbsim import ranks
from hbsim.core.space import Space, args
from hbsim.errors import ParameterError, nearest
from hbsim.executors import processes
from hbsim.executors.script_process import Pipes, Script, ScriptFailed
from hbsim.script import ANSWERS, CHECKPOINTS, REPORTS

if TYPE_CHECKING:
    from hbsim.executors.reporter import Reporter

KNOWN: Final = ("max_t", "trial", "seed", "checkpoint_dir")  # names that each command may use
PYTHONS: Final = ("python", "python3")
_NAME: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_SCRIPTS: Final = (".py", ".sh", ".bash", ".R", ".jl", ".rb", ".pl", ".js")
# Variables of scripts: lines of Python's output come at once, and Hydra's last line is the error.
_DEFAULTS: Final = {"PYTHONUNBUFFERED": "1", "HYDRA_FULL_ERROR": "1"}
_SMALL: Final = 1 << 20  # bytes of files whose content belongs to the command


class Command:
    r"""A command line that trains, as the training function of `hbsim.run` and `hbsim.record`.

    ::

        train = hbsim.Command("python train.py --lr {lr} --epochs {max_t}", {"lr": hbsim.Real(1e-4, 1)})

    The script reports by `hbsim.report`, by lines of its output that `report_pattern` matches, or by JSON
    objects, one a line, that it writes to the path in the environment variable ``HBSIM_REPORTS``.

    Parameters
    ----------
    command : str
        The command. It is split into words as a shell does; then ``{name}`` in a word becomes the value of
        the parameter, or of ``{max_t}``, ``{trial}``, ``{seed}`` and ``{checkpoint_dir}``. ``{{`` is a brace.
        No shell runs, so that values are arguments and never code.
    space : mapping
        `Real`, `Int`, `Choice` and `Bool` by name make the search space; anything else is a constant. All
        are also in environment variables, as in ``HBSIM_PARAM_LR``.
    report_pattern : str, optional
        A regular expression; a line of the output that has a match is a report of its named groups:
        ``epoch=(?P<epoch>\d+) acc=(?P<accuracy>\S+)``.
    shell : bool
        Run the command by ``/bin/sh``. Values are still no code: they are put in as variables in quotes.
    cwd : path, optional
        The folder in which the command runs; by default the working directory.

    Raises
    ------
    ParameterError
        The command is empty or not closed, it has a name that is no parameter, or the pattern is none.
    """

    space: Space
    defaults: dict[str, object]

    def __init__(
        self,
        command: str,
        space: Mapping[str, object] | Space,
        *,
        report_pattern: str | None = None,
        shell: bool = False,
        cwd: os.PathLike[str] | str | None = None,
    ) -> None:
        self.command, self.shell, self.report_pattern = command, shell, report_pattern
        self.cwd = os.path.abspath(cwd or ".")
        self.max_t: float | None = None
        self.grace = 5.0
        args(**(space.parameters if isinstance(space, Space) else space))(self)
        self._words = _split(command)
        self._pattern = _compile(report_pattern)
        known = (*self.defaults, *KNOWN)
        for name in self._used():
            if name not in known:
                rule = f"{{{name}}} is no parameter ({', '.join(map(repr, known))}); {{{{ is a brace."
                raise ParameterError("command", command, rule + nearest(name, known))
        variables = [_variable(name) for name in self.defaults]
        if double := next((one for one in variables if variables.count(one) > 1), None):
            raise ParameterError("command", command, f"two parameters would be {double}")

    @property
    def constants(self) -> dict[str, object]:
        """The arguments that are not searched over."""
        return {name: value for name, value in self.defaults.items() if name not in self.space}

    def to_json(self) -> dict[str, Any]:
        """Return the command in plain JSON types."""
        names = ("command", "report_pattern", "shell", "cwd", "max_t", "grace", "constants")
        return {**{name: getattr(self, name) for name in names}, "space": self.space.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Command:
        """Return the command that `to_json` has written."""
        space = {**Space.from_json(data["space"]).parameters, **data["constants"]}
        kept = {name: data[name] for name in ("report_pattern", "shell", "cwd")}
        made = cls(data["command"], space, **kept)
        made.max_t, made.grace = data["max_t"], data["grace"]
        return made

    def for_study(self, max_t: float | None, grace: float, is_local: bool) -> Command:
        """Return the command with the options of a study, after a check of what can be wrong with it.

        Parameters
        ----------
        max_t : float or None
            R, where a trial is complete, if the study has one.
        grace : float
            Seconds that a script has to end.
        is_local : bool
            Whether the command runs on this machine, so that its files must exist.

        Raises
        ------
        ParameterError
            The executable or the script does not exist, a parameter is not used, or ``{max_t}`` is unknown.
        """
        used = self._used()
        if max_t is None and "max_t" in used:
            raise ParameterError("command", self.command, "'max_t' in it has no value: give max_t")
        if is_local:
            self._check_files()
        for name in self.space:
            if name not in used and not self._reads(_variable(name)):
                opened = next((word for word in self._words if "{" in _NAME.sub("", word)), None)
                rule = f"no word has {{{name}}}, and no file of it reads {_variable(name)}"
                rule = rule if opened is None else f"a brace in {opened} is not closed"
                raise ParameterError("command", self.command, f"must use {name!r}: {rule}")
        made = copy(self)
        made.max_t, made.grace = max_t, grace
        return made

    def files(self) -> list[str]:
        """Return the words of the command that are names of small files in its folder or below."""
        found = self._small_files()
        return [word for word in found if not os.path.isabs(word) and ".." not in Path(word).parts]

    def digest(self) -> str | None:
        """Return the SHA-256 of the command's small files; None if there are none."""
        contents = list(self._small_files().values())
        return hashlib.sha256(b"\0".join(contents)).hexdigest() if contents else None

    def __call__(self, given: Mapping[str, object], reporter: Reporter) -> None:
        """Run the command for a trial, until it ends or the trial is paused or stopped.

        Raises
        ------
        ScriptFailed
            It cannot be started, has failed, or has ended without a report.
        """
        folder = _checkpoint_folder(reporter)
        known = {"trial": given["trial"], "seed": given["seed"], "checkpoint_dir": folder}
        if self.max_t is not None:
            known["max_t"] = int(self.max_t) if self.max_t == int(self.max_t) else self.max_t
        known |= {name: given[name] for name in self.defaults}
        texts = {name: str(value) for name, value in known.items()}
        variables = {_variable(name, name in self.defaults): text for name, text in texts.items()}
        with Pipes() as pipes:
            environment = {**_DEFAULTS, **os.environ, **variables, CHECKPOINTS: str(folder)}
            environment |= {REPORTS: pipes.path(pipes.into), ANSWERS: pipes.path(pipes.answers)}
            environment |= {ranks.VARIABLE: pipes.ranks.path, ranks.TIME_ATTR: reporter.time_attr}
            script = Script(self._start(texts, environment, pipes), pipes, reporter, self._pattern)
            reporter.on_pause(lambda: script.state(folder))
            try:
                script.follow()
            except BaseException:  # the trial has to end, or what the script reported is wrong
                script.end(self.grace)
                raise
        if not script.has_reported and not reporter._has_trained():
            raise ScriptFailed(script.no_report())

    def _used(self) -> list[str]:
        found = [match[1] for word in self._words for match in _NAME.finditer(word)]
        return [name for name in dict.fromkeys(found) if name is not None]

    def _reads(self, variable: str) -> bool:
        if self.shell and variable in self.command:
            return True
        return any(variable.encode() in content for content in self._small_files().values())

    def _small_files(self) -> dict[str, bytes]:
        """Return the content of the small files that words of the command name."""
        files = {word: Path(self.cwd, word) for word in self._words}
        with suppress(OSError):
            small = {word: file for word, file in files.items() if file.is_file()}
            return {word: file.read_bytes() for word, file in small.items() if file.stat().st_size <= _SMALL}
        return {}

    def _check_files(self) -> None:
        first, *more = self._words
        if not os.path.isdir(self.cwd):
            raise ParameterError("cwd", self.cwd, "must be a folder that exists")
        if not self.shell and not _NAME.search(first) and not self._finds(first):
            rule = f"there is no executable {first}"
            rule += f" on the PATH; hbsim itself runs with {sys.executable}" if first in PYTHONS else ""
            raise ParameterError("command", self.command, rule)
        script = more[0] if more else ""
        if script.endswith(_SCRIPTS) and not _NAME.search(script) and not Path(self.cwd, script).is_file():
            raise ParameterError("command", self.command, f"there is no file {script} in {self.cwd}")

    def _finds(self, program: str) -> bool:
        return shutil.which(os.path.join(self.cwd, program) if os.sep in program else program) is not None

    def _start(
        self, texts: Mapping[str, str], environment: Mapping[str, str], pipes: Pipes
    ) -> subprocess.Popen[bytes]:
        if self.shell:
            quoted = {name: f'"${_variable(name, name in self.defaults)}"' for name in texts}
            words = ["/bin/sh", "-c", _filled(self.command, quoted)]
        else:
            words = [_filled(word, texts) for word in self._words]
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=None if self._pattern is None else subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.cwd if os.path.isdir(self.cwd) else None,
                env=environment,
                pass_fds=pipes.inherited,
                preexec_fn=partial(processes.die_with_parent, os.getpid()),
            )
        except OSError as error:
            reason = error.strerror or error
            raise ScriptFailed(f"{words[0]} cannot be started: {reason}") from None


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ParameterError("command", command, f"cannot be split into words: {error}") from None
    if not words:
        raise ParameterError("command", command, "must not be empty")
    return words


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ParameterError("report_pattern", pattern, f"is no regular expression: {error}") from None
    if not compiled.groupindex:
        rule = "must have a named group for each number: epoch=(?P<epoch>\\d+)"
        raise ParameterError("report_pattern", pattern, rule)
    return compiled


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: match[0][0] if match[1] is None else values[match[1]], text)


def _variable(name: str, is_parameter: bool = True) -> str:
    """Return the environment variable of a name that a command may use."""
    return ("HBSIM_PARAM_" if is_parameter else "HBSIM_") + re.sub(r"\W", "_", name).upper()


def _checkpoint_folder(reporter: Reporter) -> Path:
    """Return the script's checkpoint folder, with the content that the trial goes on from."""
    folder = reporter.folder / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    saved = reporter.load()
    if saved is None:
        folder.mkdir(parents=True)
    else:
        shutil.copytree(saved, folder)
    return folder
