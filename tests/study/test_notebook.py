"""Notebooks: a function of a cell is tuned in processes, its result displays, the stop button saves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hbsim

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

EXAMPLE = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
CELLS = [
    "import os\nfrom pathlib import Path\nPath('kernel').write_text(str(os.getpgid(0)))",
    """import time

def wait():
    time.sleep(0.1)

@hbsim.args(lr=hbsim.Real(0.0, 1.0))
def slow_fn(args, reporter):
    for epoch in range((reporter.load() or 0) + 1, 10):
        reporter.save(epoch)
        wait()
        reporter(epoch=epoch, accuracy=args.lr)

def tune(**options):
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=6)
    return hbsim.run(slow_fn, scheduler, workers=2, folder="slow", **options)""",
    "tune()",
    "tune(resume=True).why",
]
# Jupyter's stop button sends SIGINT to the kernel's group of processes.
EXECUTE = """
import os, signal, sys, threading, time
from pathlib import Path
import nbformat
from nbclient import NotebookClient

def press_stop():
    journal = Path("slow/journal.jsonl")
    while not (journal.exists() and journal.read_bytes().count(b"\\n") > 8):
        time.sleep(0.02)
    group = int(Path("kernel").read_text())
    assert group != os.getpgid(0)
    os.killpg(group, signal.SIGINT)

notebook = nbformat.read(sys.argv[1], 4)
threading.Thread(target=press_stop, daemon=True).start()
NotebookClient(notebook, kernel_name="python3", timeout=300, allow_errors=True).execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Execute the example, and then cells of which one is interrupted; return the outputs, and the folder."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(EXAMPLE, 4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in CELLS]
    file = folder / "executed.ipynb"
    nbformat.write(notebook, file)
    words = [sys.executable, "-c", EXECUTE, str(file)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = [cell.outputs for cell in nbformat.read(file, 4).cells if cell.cell_type == "code"]
    return cells, folder


def lines(outputs):
    """Return the texts of the live lines that a cell shows."""
    return [one.data["text/plain"] for one in outputs if one.output_type == "display_data"]


def test_the_example_shows_a_line_and_its_result(executed):
    cells, folder = executed
    example = cells[: -len(CELLS)]
    assert not [one for outputs in example for one in outputs if one.output_type == "error"]
    ran, shown, best = example[-3:]
    [line] = lines(ran)
    assert line.startswith("[0:")
    assert line.endswith("; done")
    result = hbsim.load(folder / "exp")
    html = shown[0].data["text/html"]
    assert html == result._repr_html_()
    assert html.count("<tr>") == 6
    assert '<img alt="learning curves" src="data:image/svg+xml;base64,' in html
    assert f"{result.best.config['lr']}" in best[0].data["text/plain"]


def test_the_stop_button_saves_and_resume_goes_on(executed):
    cells, folder = executed
    *_, stopped, resumed = cells
    [error] = [one for one in stopped if one.output_type == "error"]
    assert error.ename == "Interrupted"
    assert error.evalue.startswith("interrupted after ")
    assert "resume=True goes on in " in error.evalue
    assert list(error.traceback) == [f"Interrupted: {error.evalue}"]
    assert lines(stopped)[0].endswith("; interrupted")
    assert "finishing: each trial leaves at its next report" in "".join(
        one.get("text", "") for one in stopped
    )
    assert resumed[-1].data["text/plain"].startswith("<EndReason.DONE")
    result = hbsim.load(folder / "slow")
    assert result.summary()["trials"] == 6
    assert result.reports.filter(result.reports.select("trial", "resource").is_duplicated()).is_empty()
