"""What users were promised of their machines: who gets trials, who is named, what is kept when one goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hbsim
from tests.doubles.dask_processes import ROOT, eventually
from tests.profile import thorough

from .machines import GPUS, send
from .study import Study, check, check_nothing_is_left, left, studying, trace_lines


def refused(study: Study, *words: str) -> None:
    """The study ends at once, with one line that holds these words."""
    assert study.wait() == 2, study.log
    lines = [line for line in study.log.splitlines() if "error" in line]
    assert len(lines) == 1
    assert "Traceback" not in study.log
    for word in words:
        assert word in lines[0]
    assert not list(trace_lines(study.traces))
    assert not study.exp.exists()
    eventually(lambda: not left(study.folder), f"an end of {left(study.folder)}")


def test_a_host_without_gpus_takes_no_trial_of_a_study_that_has_some(tmp_path: Path) -> None:
    environments = [{GPUS: ""}, {GPUS: "GPU-0,GPU-1"}]
    with studying(tmp_path, "ssh", environments=environments) as study:
        study.start(trials=6, seconds=0.05, options=["--workers", "8"])
        study.done()
        check(study)
        opened = study.records("open")
        assert {record["host"] for record in opened} == {study.ssh.name(1)}
        assert all(record["gpus"] for record in opened)
        said = next(line for line in study.log.splitlines() if study.ssh.name(0) in line and "no GPU" in line)
        assert "--num-gpus 0" in said or "num_gpus=0" in said
        study.clear()
        study.start(trials=4, options=["--num-gpus", "0"])
        study.done()
        check(study)
        assert {record["host"] for record in study.records("open")} == {study.ssh.name(0), study.ssh.name(1)}
        assert {line["gpus"] for line in trace_lines(study.traces)} <= {"", None}


@thorough
def test_agents_on_one_machine_share_no_gpu_beyond_its_parts(tmp_path: Path) -> None:
    environments = [{GPUS: "GPU-0,GPU-1"}] * 2
    with studying(tmp_path, "dask", environments=environments) as study:
        for share, workers, most in ((1, 2, 1), (0.5, 4, 2)):
            study.start(trials=12, seconds=0.1, options=["--num-gpus", str(share), "--workers", str(workers)])
            study.done()
            check(study)
            assert most_at_once(study) == {"GPU-0": most, "GPU-1": most}
            study.clear()


def most_at_once(study: Study) -> dict[str, int]:
    """Return for each value of CUDA_VISIBLE_DEVICES how many trials have had it at the same time."""
    spans: dict[str, dict[int, list[float]]] = {}
    for line in trace_lines(study.traces):
        span = spans.setdefault(line["gpus"], {}).setdefault(line["job"], [line["at"], line["at"]])
        span[1] = line["at"]
    return {
        gpu: max(sum(one <= begin <= other for one, other in jobs.values()) for begin, _ in jobs.values())
        for gpu, jobs in spans.items()
    }


def test_a_share_that_no_host_has(tmp_path: Path) -> None:
    with studying(tmp_path, "ssh", 1) as study:
        study.start(options=["--num-gpus", "3"])
        refused(study, "--num-gpus 3", "GPU")
        study.start(options=["--num-cpus", "1000"])
        refused(study, "--num-cpus 1000")


@pytest.mark.parametrize(
    ("carrier", "storage"),
    [
        ("agent", "pull"),
        pytest.param("worker", "shared", marks=thorough),
        pytest.param("worker", "pull", marks=thorough),
        pytest.param("nanny", "pull", marks=thorough),
    ],
)
def test_a_host_that_is_taken_away_hands_its_trials_back(carrier: str, storage: str, tmp_path: Path) -> None:
    """SIGTERM: they save, and go on elsewhere from there at once, long before the lease is over."""
    kind = "ssh" if carrier == "agent" else "dask"
    with studying(tmp_path, kind, lease=60.0, nanny=carrier == "nanny") as study:
        study.start("steady", type_="fifo", trials=4, seconds=0.3, options=["--storage", storage])
        study.until(lambda: study.trials(0) and study.trials(1), "a trial on each")
        study.until(lambda: len(study.records("rows")) >= 4, "reports")
        send(signal.SIGTERM, study.agent(0) if kind == "ssh" else study.dask.started(0))
        study.until(lambda: study.records("fail"), "a trial that is handed back")
        (failed,) = study.records("fail")
        assert failed["kind"] == "preempted"
        study.finish()
        check(study, goes_on=False)
        begun = [line for line in trace_lines(study.traces) if line["what"] == "begins" and line["epoch"] > 0]
        assert len(begun) == 1  # it went on from where it saved


@thorough
def test_hosts_come_and_go(tmp_path: Path) -> None:
    with studying(tmp_path, "ssh", lease=2.0) as study:
        study.machines.kill(1)
        study.start(trials=40, seconds=0.5, options=["--num-gpus", "1"])
        study.reach(1)
        study.machines.start(1)
        assert study.trials(1)
        study.machines.kill(0)
        study.until(lambda: study.records("fail"), "a loss")
        study.machines.start(0)
        assert study.trials(0)
        study.finish()
        check(study)


@thorough
def test_what_was_paused_is_kept_when_its_host_goes(tmp_path: Path) -> None:
    """Without a folder that all see: a checkpoint is in the study's folder soon after the pause."""
    with studying(tmp_path, "ssh", lease=2.0) as study:
        study.start("steady", trials=12, seconds=0.1, options=["--storage", "pull", "--workers", "2"])
        study.until(lambda: list(study.exp.glob("trials/*/checkpoint/*/meta.json")), "a checkpoint")
        study.machines.kill(1)
        study.finish()
        check_nothing_is_left(study)
        began = [line["trial"] for line in trace_lines(study.traces) if line["what"] == "begins"]
        lost = {record["job"] for record in study.records("fail")}
        started = study.records("start", "restart")
        anew = {record["trial"] for record in started if record["job"] in lost}
        zero = [
            line["trial"]
            for line in trace_lines(study.traces)
            if line["what"] == "begins" and line["epoch"] == 0 and line["trial"] not in anew
        ]
        assert len(zero) == len(set(zero))  # none but the lost ones has begun twice from zero
        assert began


@pytest.mark.parametrize("carrier", ["ssh", pytest.param("dask", marks=thorough)])
def test_a_host_that_cannot_load_the_function_is_named_and_left_out(carrier: str, tmp_path: Path) -> None:
    code = """
import os

if os.environ.get("HBSIM_TEST_KIND") == "broken":
    import a_package_that_is_not_there

from tests.remote.training import saving
"""
    (tmp_path / "train.py").write_text(code)
    environments = [{}, {"HBSIM_TEST_KIND": "broken"}]
    with studying(tmp_path, carrier, environments=environments) as study:
        study.machines.kill(1)
        study.start(f"{tmp_path / 'train.py'}:saving", seconds=0.4, trials=12)
        study.reach(1)
        study.machines.start(1)
        name = study.ssh.name(1) if carrier == "ssh" else "host-1"
        study.until(lambda: "a_package_that_is_not_there" in study.log, "a warning")
        line = next(line for line in study.log.splitlines() if "a_package_that_is_not_there" in line)
        assert name in line
        study.finish()
        assert not study.records("fail")
        check(study)


def test_trials_that_end_badly(tmp_path: Path) -> None:
    """Each has failed, in the way that it would have on this machine; the host and the others go on."""
    with studying(tmp_path, "ssh", 1) as study:
        options = ["--retries", "0", "--loss-retries", "0", "--workers", "1", "--trial-timeout", "1.5s"]
        study.start("ends_badly", trials=5, options=options)
        assert study.wait() == 1
        reasons = [(record["kind"], record["reason"]) for record in study.records("fail")]
        expected = [("oom", "no more"), ("error", "status 3"), ("error", "SIGSEGV"), ("lost", "SIGKILL")]
        expected += [("error", "more than 1.5 s (trial_timeout)")]
        for (kind, reason), (known, words) in zip(reasons, expected, strict=True):
            assert kind == known
            assert words in reason
        check_nothing_is_left(study)


@thorough
@pytest.mark.parametrize("carrier", ["ssh", "dask"])
def test_ctrl_c_ends_in_good_order_and_goes_on(carrier: str, tmp_path: Path) -> None:
    """Also without machines: what was paused has come to the study's folder."""
    with studying(tmp_path, carrier) as study:
        study.start(trials=12, seconds=0.2, options=["--storage", "pull"])
        study.reach(3)
        send(signal.SIGINT, study.controller())
        assert study.wait() == 75
        assert "hbsim run --resume" in study.log
        eventually(lambda: not left(tmp_path), f"an end of {left(tmp_path)}")
        if carrier == "ssh":
            study.resume()
        else:
            study.resume_locally()
        study.finish()
        check(study)


def test_the_seeds_class_runs_on_addresses(tmp_path: Path) -> None:
    """With names that only OpenSSH's configuration knows."""
    with studying(tmp_path, "ssh") as study:
        home = tmp_path / "home" / ".ssh"
        home.mkdir(parents=True, mode=0o700)
        hosts = [
            f"Host lab{number}\n  HostName 127.0.0.1\n  Port {host.port}\n  IdentityFile {host.key}\n"
            for number, host in enumerate(study.ssh.hosts)
        ]
        known = [host.known_hosts.read_text() for host in study.ssh.hosts]
        (home / "config").write_text("".join(hosts))
        (home / "known_hosts").write_text("".join(known))
        script = tmp_path / "script.py"
        script.write_text(
            f"""
import hbsim
from tests.remote.training import steady

study = hbsim.HyperbandScheduler(
    steady, num_trials=6, max_t=9, grace_period=1, reduction_factor=3, type="promotion",
    dist_ip_addrs=["lab0", "lab1"], checkpoint={str(tmp_path / "seed")!r}, max_reward=None,
)
study.join_jobs()
print(study.get_best_reward())
"""
        )
        environment = {**os.environ, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, script], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert 0 < float(done.stdout) <= 1
        result = hbsim.load(tmp_path / "seed")
        assert set(result.hosts["host"]) == {"lab0", "lab1"}
        assert result.best.changed == {"seconds": 1}  # what the function changed comes from hosts as well
        eventually(lambda: not left(tmp_path), f"an end of {left(tmp_path)}")
