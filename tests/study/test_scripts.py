"""Scripts as people write them: what is executed how often, and what functions find in their processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Two studies of functions that the script has changed meanwhile; and one that is defined afterwards.
STUDIES = """
import enum, multiprocessing
from dataclasses import dataclass
import hbsim
import beside

open("tops.txt", "a").write("executed\\n")
TABLE = [1.0]

class Base:
    def __init__(self, scale):
        self.scale = scale

@dataclass
class Model(Base):
    scale: float
    def __post_init__(self):
        super().__init__(self.scale)
    def value(self):
        return self.scale * TABLE[0] + beside.PART

def helper(model):
    return model.value()

def in_child(model, queue):
    queue.put(helper(model))

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    reporter(epoch=1, accuracy=helper(Model(scale)), squared=float(__name__ == "__main__"))

def study(function, folder):
    scheduler = hbsim.make_scheduler("fifo", max_t=1, num_trials=1)
    result = hbsim.run(function, scheduler, workers=1, folder=folder)
    assert not len(result.failures), result.failures["reason"][0]
    values.append(result.summary()["best"])

if __name__ == "__main__":
    values = []
    for scale in (1.0, 2.0):
        study(train_fn, f"first{scale}")
    TABLE[0] = 10.0
    study(train_fn, "changed")

    @hbsim.args(lr=hbsim.Real(0.1, 1.0))
    def later(args, reporter):
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        child = context.Process(target=in_child, args=(Model(3.0), queue))
        child.start()
        reporter(epoch=1, accuracy=queue.get(timeout=60))
        child.join()

    study(later, "later")
    print(values)
"""


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_functions_are_as_the_script_has_them_now_and_it_is_executed_once(tmp_path):
    (tmp_path / "study.py").write_text(STUDIES)
    (tmp_path / "beside.py").write_text("PART = 0.5\n")
    done = python(tmp_path, "study.py")
    assert done.returncode == 0, done.stderr
    # The child that the last function spawns executes the file, as it does in any script.
    assert json.loads(done.stdout) == [1.5, 2.5, 20.5, 3.5]
    assert (tmp_path / "tops.txt").read_text() == "executed\n" * 2


def test_a_notebook_can_define_its_function_after_a_study(tmp_path):
    """What is typed in has no file."""
    text = STUDIES.replace('get_context("spawn")', 'get_context("fork")')
    (tmp_path / "beside.py").write_text("PART = 0.5\n")
    done = python(tmp_path, "-c", text)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1.5, 2.5, 20.5, 30.5]
    assert (tmp_path / "tops.txt").read_text() == "executed\n"


def test_what_cannot_be_pickled_is_found_in_the_file(tmp_path):
    text = STUDIES.replace(
        "TABLE = [1.0]", "import threading\nLOCK = threading.Lock()\nscale = 4.0\nTABLE = [1.0]"
    )
    text = text.replace("    return model.value()", "    with LOCK:\n        return model.value()")
    (tmp_path / "beside.py").write_text("PART = 0.5\n")
    (tmp_path / "study.py").write_text(text)
    done = python(tmp_path, "study.py")
    assert "there is no 'later' in study.py when it is imported" in done.stderr
    assert "cannot be pickled" in done.stderr
    assert (tmp_path / "first1.0" / "summary.json").exists()


FAILS = """
import hbsim

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    raise ValueError("oh")

if __name__ == "__main__":
    scheduler = hbsim.make_scheduler("fifo", max_t=1, num_trials=2)
    result = hbsim.run(train_fn, scheduler, workers=1, progress="none")
    print(result._repr_html_())
    hbsim.FIFOScheduler(train_fn, num_trials=1, workers=1, progress="none", checkpoint="other").run()
"""


def test_why_all_trials_failed_is_said_with_the_line_of_the_script(tmp_path):
    (tmp_path / "fails.py").write_text(FAILS)
    done = python(tmp_path, "fails.py")
    reason, log = "ValueError: oh (fails.py:6)", Path("trials", "000000", "log.txt")
    assert f"HbsimWarning: all 2 trials failed; the first: {reason}; see {'exp' / log}\n" in done.stderr
    assert f"HbsimWarning: the only trial failed: {reason}; see {'other' / log}\n" in done.stderr
    assert f"2 failed: {reason}; log: {tmp_path / 'exp' / log}" in done.stdout
    assert 'raise ValueError("oh")' in (tmp_path / "exp" / log).read_text()


def test_the_script_of_the_readme_says_nothing_of_threads(tmp_path):
    """It touches `hbsim.run`, which must load nothing that starts threads where trials are forked."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (script,) = [block for block in blocks if "hbsim.run(" in block]
    (tmp_path / "script.py").write_text(script)
    options = ["--scheduler", "stopping", "--max-t", "27", "--trials", "3", "--workers", "1", "--out", "out"]
    for words in (["script.py"], ["-m", "hbsim", "run", "script.py:train_fn", *options]):
        done = python(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert "threads" not in done.stderr


def test_the_command_executes_the_file_once_and_says_that_it_loads_it(tmp_path):
    text = "import hbsim, time\nprint('executed')\ntime.sleep(2)\n"
    text += "@hbsim.args(lr=hbsim.Real(0.1, 1.0), epochs=3)\n"
    text += "def train_fn(args, reporter):\n    reporter(epoch=args.epochs, accuracy=args.lr)\n"
    (tmp_path / "train.py").write_text(text)
    options = ["--scheduler", "fifo", "--max-t", "1", "--trials", "2", "--workers", "1", "--set", "epochs=1"]
    done = python(tmp_path, "-m", "hbsim", "run", "train.py:train_fn", *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("executed") == 1
    assert "hbsim: loading train.py:train_fn\n" in done.stderr


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_files_beside_the_function_may_be_named_like_modules_of_the_standard_library(tmp_path, start):
    for name in sys.stdlib_module_names.difference(sys.builtin_module_names):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('this is no {name}')\n")
    (tmp_path / "beside.py").write_text("PART = 0.5\n")
    (tmp_path / "train.py").write_text("""
import beside
import hbsim

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    epoch = reporter.load() or 0
    reporter.on_pause(lambda: epoch)
    while epoch < 3:
        epoch += 1
        (reporter.folder / "epoch").write_text("here")
        reporter(epoch=epoch, accuracy=args.lr * beside.PART)
""")
    options = [
        "--scheduler",
        "promotion",
        "--max-t",
        "3",
        "--trials",
        "4",
        "--workers",
        "1",
        "--start",
        start,
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = f"import sys; sys.path.append({str(ROOT)!r}); from hbsim.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", code, "run", "train.py:train_fn", *options]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
