"""The page of a study while it runs: its file, and the process that keeps it up to date."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Final, Self

from hbsim.errors import HbsimWarning, ParameterError
from hbsim.study.interrupts import Interrupted

PAGE: Final = "study.html"  # in the study's folder
PAGES: Final = (".html", ".htm")
GENERATOR: Final = '<meta name="generator" content="hbsim '
SHOW: Final = f"""import sys
sys.path.append({str(Path(__file__).parents[2])!r})
from hbsim.cli.main import main
main()"""
LAST: Final = 60.0  # seconds that the last page may take
HURRY: Final = 5.0  # the same where the study ended with an error


def page_file(name: str, value: object) -> bool | str:
    """Check an option that asks for a page: True, False, or the name of its file."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | os.PathLike):
        raise ParameterError(name, value, "must be True, False or the name of a file")
    return os.fspath(check_page(name, Path(value)))


def check_page(name: str, path: Path) -> Path:
    """Check that a page can be written to a file; only an earlier page is replaced."""
    if path.suffix.lower() not in PAGES:
        raise ParameterError(name, str(path), f"must end in {' or '.join(PAGES)}: it is a page")
    if not path.parent.is_dir():
        raise ParameterError(name, str(path), f"there is no folder {path.parent}")
    if path.is_dir():
        raise ParameterError(name, str(path), "is a folder; give a file, as study.html")
    if path.exists():
        with path.open("rb") as file:
            if GENERATOR.encode() not in file.read(1000):
                raise ParameterError(name, str(path), "is no page of hbsim; choose another name")
    return path


class PageProcess:
    """A process that writes a study's page again and again while the study runs, at low priority.

    It reads the journal, as any reader does, so that the study waits for nothing before its end.

    Parameters
    ----------
    folder : Path
        The study's folder.
    file : bool, path or str
        The page's file; True for study.html in the folder, False for no page.
    """

    def __init__(self, folder: Path, file: bool | Path | str) -> None:
        self._folder = folder
        self._wanted = bool(file)
        self._file = folder / PAGE if isinstance(file, bool) else Path(file).absolute()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, once the study has a journal; without a page do nothing."""
        if not self._wanted:
            return
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this object)
        words = ["show", str(self._folder), "--html", str(self._file), "--watch"]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", SHOW, *words],  # -P: files of the working folder are no modules
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._complaints,
            start_new_session=True,  # Ctrl-C is for the study
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Wait for the last page; where the study ended with an error only for an instant."""
        process, hurried = self._process, kind is not None and not issubclass(kind, Interrupted)
        if process is None:
            return
        try:
            code = process.wait(HURRY if hurried else LAST)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if code and not hurried:
            self._complaints.seek(0)
            lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines() or [
                "it took too long"
            ]
            again = f"hbsim show {self._folder} --html"
            text = f"the page {self._file} is not complete: {lines[-1]}; to write it: {again}"
            warnings.warn(HbsimWarning(text), stacklevel=2)
