"""Two workers by SSH on this machine: a study as users run it, its end in every way, and the seed's class."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.sshd import Host, sshd

from .studies import TRAINING, never_twice_at_once, records, traces

HOSTS = "127.0.0.1,localhost"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with sshd(tmp_path_factory.mktemp("sshd")) as there:
        yield there


def command(host: Host, folder: Path, trials: int, *more: str) -> list[str]:
    ssh = ["--hosts", HOSTS, "--ssh-port", str(host.port), "--ssh-key", str(host.key)]
    study = ["--scheduler", "promotion", "--max-t", "9", "--trials", str(trials), "--seed", "3"]
    how = ["--executor", "dask", "--out", str(folder), "--progress", "lines", *ssh, *study, *more]
    return [sys.executable, "-m", "hbsim", "run", f"{TRAINING}:saving", *how]


def wait_for(folder: Path, event: str, count: int) -> None:
    """Wait until a study has come so far."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        begun = (folder / "journal.jsonl").is_file()
        if begun and sum(record["e"] == event for record in records(folder)) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"the study has not come to {count} times {event}")


def test_a_study_on_two_hosts_that_is_interrupted_killed_and_finished(host: Host, tmp_path: Path) -> None:
    folder, seen = tmp_path / "exp", tmp_path / "traces"
    seen.mkdir()
    first = command(host, folder, 24, "--set", f"traces={seen}", "--set", "seconds=0.05")
    with subprocess.Popen(first, stderr=subprocess.PIPE, text=True) as process:
        wait_for(folder, "reach", 3)
        assert any("distributed.Scheduler" in line for line in host.processes().values())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "hbsim run --resume" in said
    assert not host.wait_until_empty(10)

    resume = [sys.executable, "-m", "hbsim", "run", "--resume", "--out", str(folder), "--progress", "lines"]
    before = sum(record["e"] == "reach" for record in records(folder))
    with subprocess.Popen(resume, stderr=subprocess.DEVNULL) as process:
        wait_for(folder, "reach", before + 3)
        process.kill()
    assert not host.wait_until_empty(10)  # nobody was there to end them

    done = subprocess.run([*resume, "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["summary"]["trials"] == 24
    assert not host.wait_until_empty(10)
    opened = [record for record in records(folder) if record["e"] == "open"]
    assert {record["worker"] for record in opened} == set(range(len(os.sched_getaffinity(0))))
    never_twice_at_once(seen)
    # Every epoch that a checkpoint held was trained once: nothing began anew.
    assert sum(line["what"] == "begins" and line["epoch"] == 0 for line in traces(seen)) <= 24 + 4


def test_the_seeds_class_runs_on_addresses(host: Host, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    config = f"""\
        Host lab1 lab2
            HostName 127.0.0.1
            HostKeyAlias [127.0.0.1]:{host.port}
            Port {host.port}
            IdentityFile {host.key}
            UserKnownHostsFile {host.known_hosts}
        """
    (home / ".ssh" / "config").write_text(textwrap.dedent(config))
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(TRAINING.parents[2])!r})
            import hbsim
            from tests.dask.training import steady

            study = hbsim.HyperbandScheduler(
                steady, num_trials=8, max_t=9, grace_period=1, reduction_factor=3, type="promotion",
                dist_ip_addrs=["lab1", "lab2"], checkpoint={str(tmp_path / "exp")!r}, max_reward=None,
            )
            study.join_jobs()
            print(study.get_best_reward())
            """
        )
    )
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) <= 1
    assert not host.wait_until_empty(10)
