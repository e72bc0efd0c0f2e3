"""The layout: what is installed, what is linked, what an import loads."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINKS = ("executors", "surrogates")
HEAVY = (
    "altair",
    "asyncssh",
    "botorch",
    "cloudpickle",
    "cryptography",
    "dask",
    "distributed",
    "fsspec",
    "gpytorch",
    "onnx",
    "onnxruntime",
    "optuna",
    "polars",
    "psutil",
    "pydantic",
    "pynvml",
    "rich",
    "scipy",
    "simpy",
    "sklearn",
    "torch",
    "typer",
)


@pytest.mark.parametrize("link", LINKS)
def test_the_links_lead_to_the_top_level(link):
    path = ROOT / "hbsim" / link
    assert path.is_symlink()
    assert path.readlink() == Path("..") / link


def test_both_names_are_one_package():
    import hbsim.executors
    import hbsim.surrogates

    assert "surrogates" not in sys.modules
    assert "executors" not in sys.modules
    assert hbsim.surrogates.__name__ == "hbsim.surrogates"


def test_importing_hbsim_loads_nothing_heavy():
    code = "import sys, hbsim; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & set(HEAVY)


def test_the_wheel_holds_the_packages_their_data_and_the_licence(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top.partition("-")[0] for top in tops} == {"hbsim"}
    tops = [ROOT / "hbsim", *(ROOT / link for link in LINKS)]
    found = [path for top in tops for path in top.rglob("*") if path.is_file()]
    files = [str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts]
    assert {name if name.startswith("hbsim/") else f"hbsim/{name}" for name in files} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)


def test_the_seeds_module_of_schedulers():
    import hbsim

    assert hbsim.scheduler.HyperbandScheduler is hbsim.HyperbandScheduler
    assert hbsim.scheduler.FIFOScheduler is hbsim.FIFOScheduler


def test_version_is_stated_once():
    import hbsim

    assert hbsim.__version__ == PROJECT["project"]["version"]
