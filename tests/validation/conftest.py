"""Real runs, made once."""

from pathlib import Path

import pytest

import hbsim
from hbsim.core import make_scheduler

TRAINING = Path(__file__).parent / "training.py"


def run_study(folder, function, kind, workers, trials=12, **options):
    """Run a study for real; return its folder."""
    scheduler = make_scheduler(kind, **{"max_t": 9, "num_trials": trials, "mode": "max", **options})
    hbsim.run(f"{TRAINING}:{function}", scheduler, workers=workers, folder=folder, progress="none")
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Return the folders of runs by name."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "stopping": run_study(folder / "stopping", "from_zero", "stopping", 1),
        "brackets": run_study(folder / "brackets", "resumes", "stopping", 1, brackets=2),
        "from zero": run_study(folder / "from_zero", "from_zero", "promotion", 1, brackets=2),
        "promotion": run_study(folder / "promotion", "resumes", "promotion", 1, trials=20),
        "pauses": run_study(folder / "pauses", "resumes", "promotion", 1, straight_on=False),
        "failures": run_study(folder / "failures", "fails", "stopping", 1),
        "two workers": run_study(folder / "two", "resumes", "promotion", 2, trials=20),
    }
