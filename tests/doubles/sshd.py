"""A host that is reached by SSH: this machine, by an sshd of the test's own on a port of the loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PLACES = ("/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd")
MARK = "HBSIM_TEST_HOST"  # in the environment of every process that runs on the host
PATIENCE = 10.0
PENALTIES = ["-o", "PerSourcePenalties no"]  # newer ones shut out who has failed a few times


@dataclass
class Host:
    """Where the sshd listens, and what a client needs for it."""

    port: int
    key: Path  # the user's private key
    known_hosts: Path
    server: subprocess.Popen[bytes]
    log: Path
    address: str = "127.0.0.1"
    user: str = field(default_factory=getpass.getuser)
    mark: str = ""

    @property
    def pid(self) -> int:
        """The sshd's."""
        return self.server.pid

    def kill(self) -> None:
        """End the sshd, its connections, and all that runs on the host, as a power cut does."""
        import psutil

        alive = self.server.poll() is None
        theirs = psutil.Process(self.pid).children(recursive=True) if alive else []
        self.server.kill()
        self.server.wait()
        for pid in (*(child.pid for child in theirs), *self.processes()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait_until_empty(PATIENCE)

    def start(self) -> None:
        """Start the sshd that was killed, on the same port."""
        assert isinstance(self.server.args, list)
        self.log.unlink()
        self.server = subprocess.Popen(self.server.args, stdin=subprocess.DEVNULL, start_new_session=True)
        assert _listens(self.server, self.log), self.log.read_text()

    def processes(self) -> dict[int, str]:
        """Return what runs on the host: command lines by process id, without sshd's own."""
        found = {}
        wanted = f"{MARK}={self.mark}".encode()
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with suppress(OSError):  # it has ended, or is another user's
                    if wanted in (folder / "environ").read_bytes().split(b"\0"):
                        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        found[int(folder.name)] = command.strip()
        return found

    def wait_until_empty(self, seconds: float) -> dict[int, str]:
        """Wait until nothing runs on the host any more; return what still does after so long."""
        until = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        return left


@contextmanager
def sshd(
    folder: Path, environment: Mapping[str, str] | None = None, key: Path | None = None
) -> Iterator[Host]:
    """Give a host that takes its user's key; everything that runs there ends with it.

    Skips the test, with the reason, where there is no sshd, or it cannot run.

    Parameters
    ----------
    folder : path
        For keys and the log.
    environment : mapping of str to str
        What every process on the host finds in its environment.
    key : path, optional
        A user's private key that it takes, of another host say; by default it has one of its own.
    """
    program = next(
        (place for place in (*PLACES, shutil.which("sshd")) if place and Path(place).exists()), None
    )
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("needs an SSH server: apt-get install openssh-server")
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # else it does not start
    for name in ("host_key", "user_key") if key is None else ("host_key",):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    mark = uuid.uuid4().hex
    (folder / "home").mkdir(exist_ok=True)  # what this user's shells do at their start is no test's business
    ours = {"HOME": str(folder / "home"), MARK: mark}
    key = folder / "user_key" if key is None else key
    process, port = _start(program, folder, key, {**ours, **(environment or {})})
    known = folder / "known_hosts"
    kind, public = (folder / "host_key.pub").read_text().split()[:2]
    known.write_text(f"[127.0.0.1]:{port},[localhost]:{port} {kind} {public}\n")
    host = Host(port, key, known, process, folder / "sshd.log", mark=mark)
    try:
        yield host
    finally:
        host.kill()


def _start(
    program: str, folder: Path, key: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    said = ""
    for _ in range(3):  # somebody else may have taken the port
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config, log = folder / "sshd_config", folder / "sshd.log"
        config.write_text(_config(folder, port, key, environment))
        command = [program, "-D", "-f", str(config), "-E", str(log)]
        if (
            subprocess.run([*command, "-t", *PENALTIES], check=False, stderr=subprocess.DEVNULL).returncode
            == 0
        ):
            command += PENALTIES
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        if _listens(process, log):
            return process, port
        said = log.read_text() if log.exists() else ""
    pytest.skip(f"sshd does not run here: {said.strip()[-300:]}")


def _config(folder: Path, port: int, key: Path, environment: Mapping[str, str]) -> str:
    variables = " ".join(f'"{name}={value}"' for name, value in environment.items())
    return f"""
ListenAddress 127.0.0.1
Port {port}
HostKey {folder / "host_key"}
AuthorizedKeysFile {key}.pub
AuthenticationMethods publickey
StrictModes no
UsePAM no
PermitRootLogin yes
PermitUserRC no
PidFile none
PrintMotd no
MaxStartups 100
LogLevel VERBOSE
Subsystem sftp internal-sftp
SetEnv {variables}
"""


def _listens(process: subprocess.Popen[bytes], log: Path) -> bool:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        if log.exists() and "Server listening" in log.read_text():
            return True
        time.sleep(0.02)
    process.kill()
    process.wait()
    return False
