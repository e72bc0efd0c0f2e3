"""The files of examples/dask: the SLURM one as it is, those for Kubernetes as far as they go without one."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.certificate import make_certificate
from tests.doubles.fake_slurm import slurm

pytest.importorskip("distributed")
yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "dask"
CRD = "operator/deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"


# SLURM


def test_a_study_on_slurm(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue", reason="the example submits its jobs by it")
    with slurm(tmp_path / "slurm") as queue:
        words = ["--jobs", "2", "--cores", "1", "--gpus", "1", "--trials", "27"]
        command = [sys.executable, str(FOLDER / "slurm.py"), *words]
        environment = {**queue.environment, "DASK_JOBQUEUE__SLURM__INTERFACE": "lo"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr + queue.logs()
        assert re.match(r"the Dask scheduler is at tls://127\.0\.0\.1:\d+\nbest: 0\.00", done.stdout)
        summary = json.loads((tmp_path / "exp" / "summary.json").read_text())["summary"]
        assert (summary["trials"], summary["failed"], summary["workers"]) == (27, 0, 2)
        assert summary["completed"] >= 1
        scripts = queue.scripts()
        assert len(scripts) == 2
        for script in scripts:
            assert "#SBATCH --cpus-per-task=1\n" in script
            assert "#SBATCH --gres=gpu:1\n" in script
            assert f"--tls-key {tmp_path / 'certs' / 'key.pem'}" in script
        assert (tmp_path / "certs" / "key.pem").stat().st_mode & 0o777 == 0o600
        assert not queue.wait_until_empty(30)


# Kubernetes


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text("utf-8")))


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    return dict(found)


def test_what_the_operator_and_each_other_know_them_by() -> None:
    (cluster,) = documents("kubernetes.yaml")
    claim, job = documents("kubernetes_study.yaml")
    name, spec = cluster["metadata"]["name"], cluster["spec"]
    scheduler, worker = (container(spec[role]["spec"]) for role in ("scheduler", "worker"))
    service, pod = spec["scheduler"]["service"], job["spec"]["template"]["spec"]
    assert service["selector"] == {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    # The operator looks for these ports by their names, and its service is called like the cluster.
    listens = {port["name"]: port["containerPort"] for port in scheduler["ports"]}
    assert listens == {"tcp-comm": 8786, "http-dashboard": 8787}
    assert {port["name"]: port["port"] for port in service["ports"]} == listens
    assert all(port["targetPort"] == port["name"] for port in service["ports"])
    address = f"tls://{name}-scheduler:8786"
    assert address in worker["args"]
    assert f"--scheduler-address {address} " in container(pod)["args"][0]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"  # the operator takes no numbers
    assert len({one["image"] for one in (scheduler, worker, container(pod))}) == 1
    for one in (spec["scheduler"]["spec"], spec["worker"]["spec"], pod):
        mounts = {mount["name"]: mount["mountPath"] for mount in container(one)["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in one["volumes"]}
        assert mounts.keys() == volumes.keys()
        assert volumes["certs"]["secret"]["secretName"] == "hbsim-tls"
        assert mounts["certs"] == "/certs"
    claimed = {volume["name"]: volume for volume in pod["volumes"]}["study"]["persistentVolumeClaim"]
    assert claimed["claimName"] == claim["metadata"]["name"]


def test_the_cluster_is_what_the_operator_takes() -> None:
    found = importlib.util.find_spec("dask_kubernetes")
    if found is None:
        pytest.skip("needs dask-kubernetes, for the definition of its resources")
    (folder,) = found.submodule_search_locations or ()
    definition = yaml.safe_load(Path(folder, CRD).read_text("utf-8"))
    (version,) = definition["spec"]["versions"]
    (cluster,) = documents("kubernetes.yaml")
    assert cluster["kind"] == definition["spec"]["names"]["kind"]
    assert cluster["apiVersion"] == f"{definition['spec']['group']}/{version['name']}"
    schema = version["schema"]["openAPIV3Schema"]
    assert list(problems(cluster, {**schema, "x-kubernetes-preserve-unknown-fields": True}, "")) == []
    cluster["spec"]["worker"]["spec"]["container"] = cluster["spec"]["worker"]["spec"].pop("containers")
    assert len(list(problems(cluster, schema, ""))) >= 2  # the check itself: unknown, and missing


def problems(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    """Say what a Kubernetes API server would refuse, and which fields it would silently drop."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield f"{place}: {value!r}"
        return
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": float}
    kind = kinds.get(schema.get("type", "object"), object)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        yield f"{place}: {value!r} is no {kind}"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from problems(item, schema["items"], f"{place}[{number}]")
    elif isinstance(value, dict):
        known = schema.get("properties", {})
        yield from (f"{place}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            inner = known.get(name, schema.get("additionalProperties"))
            if isinstance(inner, dict):
                yield from problems(item, inner, f"{place}.{name}")
            elif not schema.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{place}: {name} is unknown"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pods:
    """Containers as processes here: their paths are in `folder`, their network is the loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.health = free_port()
        port = free_port()
        self.texts = {
            "$(DASK_WORKER_NAME)": "hbsim-default-worker-1",
            "tls://hbsim-scheduler:8786": f"tls://127.0.0.1:{port}",
            ":8787": f"127.0.0.1:{self.health}",
            "8786": str(port),
            "/code/": f"{FOLDER}/",
            **{f"/{name}": str(folder / name) for name in ("certs", "study", "work")},
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, one: dict[str, Any]) -> subprocess.Popen[bytes]:
        words = [self._here(word) for word in (*one.get("command", ()), *one["args"])]
        if words[0] == "dask":
            words = [sys.executable, "-m", *words, "--host", "127.0.0.1"]
        variables = {each["name"]: self._here(each["value"]) for each in one.get("env", ())}
        python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with (self.folder / f"{one['name']}.log").open("ab") as log:
            process = subprocess.Popen(
                words,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": python, **variables},
                cwd=self._here(one.get("workingDir", str(self.folder))),
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def end(self) -> None:
        for process in reversed(self._running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _here(self, text: str) -> str:
        """Replace what means something in a pod only."""
        words = "|".join(re.escape(word) for word in self.texts)
        return re.sub(rf"(?<![\w/])({words})", lambda found: self.texts[found[1]], text)


@contextmanager
def pods(folder: Path) -> Iterator[Pods]:
    for name in ("study", "work"):
        (folder / name).mkdir()
    made = Pods(folder)
    try:
        yield made
    finally:
        made.end()


def test_what_the_pods_run(tmp_path: Path) -> None:
    (cluster,) = documents("kubernetes.yaml")
    _, job = documents("kubernetes_study.yaml")
    make_certificate(tmp_path)
    scheduler, worker = (container(cluster["spec"][role]["spec"]) for role in ("scheduler", "worker"))
    with pods(tmp_path) as here:
        here.start(scheduler)
        here.start(worker)
        study = here.start(container(job["spec"]["template"]["spec"]))
        until = time.monotonic() + 20
        while not is_healthy(here.health, scheduler["readinessProbe"]["httpGet"]["path"]):
            assert time.monotonic() < until, (tmp_path / "scheduler.log").read_text()
            time.sleep(0.1)
        assert study.wait(90) == 0, (tmp_path / "study.log").read_text()
        log = (tmp_path / "study.log").read_text()
        assert " of 30 started" in log
        assert "warning" not in log
        assert json.loads((tmp_path / "study/exp/summary.json").read_text())["summary"]["failed"] == 0
        assert not list((tmp_path / "work").iterdir())  # nothing is left of the study on its hosts
        again = here.start(container(job["spec"]["template"]["spec"]))  # a pod that comes after it
        assert again.wait(90) == 0, (tmp_path / "study.log").read_text()


def is_healthy(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
