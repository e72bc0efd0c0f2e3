"""What the machine has, with a driver that answers what a test wants."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from hbsim.errors import ParameterError
from hbsim.executors.devices import Gpu, Nvml, cpu_group, cpu_limit, cpus, gpus
from tests.doubles.nvml import GIB, FakeGpu, FakeNvml

FOUR = ("GPU-aa10", "GPU-aa20", "GPU-bb30", "GPU-cc40")
MIG = FakeGpu(
    "GPU-dd50",
    instances={
        0: FakeGpu("MIG-1111", "NVIDIA A100 MIG 3g.40gb", 40 * GIB, ids=(2, 0)),
        3: FakeGpu("MIG-2222", "NVIDIA A100 MIG 3g.40gb", 40 * GIB, ids=(5, 1)),
    },
)

OLD = {"cpu/cpu.cfs_period_us": "100000\n"}  # the first version of control groups


def machine(*uuids: str) -> FakeNvml:
    return FakeNvml([FakeGpu(uuid) for uuid in uuids])


def seen(visible: str | None, nvml: FakeNvml) -> list[tuple[str, str]]:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return [(gpu.visible, gpu.uuid) for gpu in gpus(environ, nvml)]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_cpus_are_those_that_the_process_may_run_on():
    core = max(os.sched_getaffinity(0))
    bound = f"import os; os.sched_setaffinity(0, [{core}])"
    code = f"{bound}\nfrom hbsim.executors.devices import cpus; print(cpus())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"[{core}]\n"
    assert cpus() == sorted(os.sched_getaffinity(0))


def test_cpus_without_affinity_are_all(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert cpus() == [0, 1, 2]


def groups(root: Path, lines: str, files: dict[str, str]) -> Path:
    files = {"proc/self/cgroup": lines, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("lines", "files", "limit"),
    [
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "150000 100000\n"}, 0.5),
        (
            "4:cpu,cpuacct:/job\n0::/\n",
            OLD | {"cpu/cpu.cfs_quota_us": "300000"},
            3.0,
        ),
        ("4:cpu:/\n", OLD | {"cpu/cpu.cfs_quota_us": "-1\n"}, None),
        ("4:cpuset:/\n", OLD | {"cpu/cpu.cfs_quota_us": "300000"}, None),
        ("nonsense\n", {"cpu.max": "many\n"}, None),
    ],
)
def test_a_quota_on_cpu_time_is_found(tmp_path, lines, files, limit):
    assert cpu_limit(groups(tmp_path, lines, files)) == limit


def test_there_is_no_quota_without_control_groups(tmp_path):
    assert cpu_limit(tmp_path) is None
    assert cpu_group(tmp_path) == ""


def test_a_quota_is_known_by_its_group(tmp_path):
    """By the group that has it: the smallest, and of equal ones the outermost."""
    files = {"job/cpu.max": "200000 100000\n", "job/one/cpu.max": "max 100000\n"}
    files |= {"job/two/cpu.max": "200000 100000\n", "job/three/cpu.max": "100000 100000\n"}
    found = {}
    for name in ("", "/one", "/two", "/three"):
        root = groups(tmp_path, f"0::/job{name}\n", files)
        found[name] = cpu_group(root)
    job, three = (tmp_path / "sys/fs/cgroup/job" / name for name in (".", "three"))
    assert found[""] == found["/one"] == found["/two"] == f"{job.stat().st_dev}:{job.stat().st_ino}"
    assert found["/three"] == f"{three.stat().st_dev}:{three.stat().st_ino}"
    assert cpu_group(groups(tmp_path, "0::/\n", files)) == ""


@pytest.mark.parametrize("count", [0, 1, 4])
def test_without_the_variable_all_gpus_are_visible_by_uuid(count):
    assert seen(None, machine(*FOUR[:count])) == [(uuid, uuid) for uuid in FOUR[:count]]


def test_a_gpu_is_described():
    nvml = FakeNvml([FakeGpu("GPU-aa10", "NVIDIA H100", 7 * GIB)])
    assert gpus({}, nvml) == [Gpu("GPU-aa10", "NVIDIA H100", 7 * GIB, "GPU-aa10")]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("", []),
        ("-1", []),
        ("none", []),
        ("0", [("0", 0)]),
        ("2,0", [("2", 2), ("0", 0)]),
        (" 1 , 3", [("1", 1), ("3", 3)]),
        ("1,-1,2", [("1", 1)]),
        ("0,2,-1,1", [("0", 0), ("2", 2)]),
        ("0,4,1", [("0", 0)]),
        ("1,,2", [("1", 1)]),
        ("1,GPU-aa10", [("1", 1)]),
        ("1gpu,+2", [("1gpu", 1), ("+2", 2)]),
        ("GPU-bb30,GPU-aa10", [("GPU-bb30", 2), ("GPU-aa10", 0)]),
        ("GPU-b, GPU-aa2", [("GPU-b", 2), ("GPU-aa2", 1)]),
        ("GPU-cc,GPU-aa,GPU-bb", [("GPU-cc", 3)]),  # two begin with GPU-aa
        ("GPU-cc,GPU-ee,GPU-bb", [("GPU-cc", 3)]),
        ("GPU-cc,0", [("GPU-cc", 3)]),
        ("MIG-1111", []),
    ],
)
def test_the_variable_holds_as_for_cuda(visible, expected):
    assert seen(visible, machine(*FOUR)) == [(entry, FOUR[index]) for entry, index in expected]


@pytest.mark.parametrize("visible", ["0,0", "1,2,1", "1,01", "GPU-bb,GPU-bb30"])
def test_a_gpu_named_twice_is_an_error(visible):
    with pytest.raises(ParameterError, match=r"CUDA_VISIBLE_DEVICES=.*is there twice") as caught:
        seen(visible, machine(*FOUR))
    assert caught.value.value == visible


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [("GPU-aa10", "GPU-aa10"), ("MIG-1111", "MIG-1111"), ("MIG-2222", "MIG-2222")]),
        ("MIG-2222", [("MIG-2222", "MIG-2222")]),
        ("MIG-2222,MIG-1111", [("MIG-2222", "MIG-2222"), ("MIG-1111", "MIG-1111")]),
        ("MIG-GPU-dd50/5/1", [("MIG-GPU-dd50/5/1", "MIG-2222")]),
        ("MIG-22", []),
        ("MIG-1111,0", [("MIG-1111", "MIG-1111")]),
        ("1,0", [("1", "MIG-1111"), ("0", "GPU-aa10")]),
        ("GPU-dd", [("GPU-dd", "MIG-1111")]),
    ],
)
def test_a_gpu_in_mig_mode_is_its_instances(visible, expected):
    assert seen(visible, FakeNvml([FakeGpu("GPU-aa10", knows_mig=False), MIG])) == expected


def test_an_instance_is_described_by_its_own_size():
    assert gpus({}, FakeNvml([MIG]))[0] == Gpu("MIG-1111", "NVIDIA A100 MIG 3g.40gb", 40 * GIB, "MIG-1111")


@pytest.mark.parametrize("visible", [None, "0", "GPU-ff60"])
def test_mig_mode_without_instances_offers_nothing(visible):
    assert seen(visible, FakeNvml([FakeGpu("GPU-ff60", instances={})])) == []


@pytest.mark.parametrize("fails", ["init", "count", "handle", "uuid", "name"])
def test_a_driver_that_fails_means_no_gpus(fails):
    assert seen(None, FakeNvml([FakeGpu("GPU-aa10")], fails=[fails])) == []


def test_a_gpu_of_others_is_passed_over_and_has_no_index():
    nvml = FakeNvml([FakeGpu("GPU-aa10", fails=["handle"]), FakeGpu("GPU-aa20")])
    assert seen(None, nvml) == [("GPU-aa20", "GPU-aa20")]
    assert seen("0", nvml) == [("0", "GPU-aa20")]


def test_memory_that_is_not_told_is_unknown():
    nvml = FakeNvml([FakeGpu("GPU-aa10", fails=["memory"])])
    assert gpus({}, nvml) == [Gpu("GPU-aa10", "NVIDIA A100", None, "GPU-aa10")]


def test_the_real_nvml_has_what_is_asked_of_it():
    real = import_module("pynvml")
    wanted = {name for name in vars(Nvml) if name.startswith("nvml")}
    assert len(wanted) > 10
    assert not {name for name in wanted if not callable(getattr(real, name, None))}
    assert issubclass(real.NVMLError, Exception)


def test_gpus_are_found_without_torch():
    found = "import os, sys\nfrom hbsim.executors.devices import gpus\ngpus(os.environ)"
    code = f"{found}\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
