"""A small sweep, run once, and the same studies run by hand."""

import functools
import math
from pathlib import Path

import hbsim
from hbsim.bench.sweep.cell import run_studies
from hbsim.bench.sweep.folder import open_folder, read_results, write_plan
from hbsim.bench.sweep.plan import read_sweep
from hbsim.bench.sweep.run import run_plan

SPEC = """
title = "Small"
description = "A few variants."
seeds = 4
workers = [2, 8]
target = 0.2
[defaults]
num_trials = 40
max_t = 27
[[variants]]
type = "stopping"
vary = {brackets = [1, 2], reduction_factor = [2, 3]}
[[variants]]
type = "promotion"
name = "asha <b>"
[[variants]]
type = "fifo"
[[surrogates]]
surrogate = "synthetic:mode=min,max_resource=27,divergence=0.1"
name = "low"
max_time = 300
[[surrogates]]
surrogate = "synthetic:max_resource=27,seed=3,early_rank=0.2"
name = "high"
group = "other"
[[clusters]]
name = "slow"
startup = 2
save = 1
load = 1
drop_rate = 0.001
"""
OPTIONS = {
    "stopping,brackets=1,reduction_factor=2": ("stopping", {"brackets": 1, "reduction_factor": 2}),
    "stopping,brackets=1,reduction_factor=3": ("stopping", {"brackets": 1, "reduction_factor": 3}),
    "stopping,brackets=2,reduction_factor=2": ("stopping", {"brackets": 2, "reduction_factor": 2}),
    "stopping,brackets=2,reduction_factor=3": ("stopping", {"brackets": 2, "reduction_factor": 3}),
    "asha <b>": ("promotion", {}),
    "fifo": ("fifo", {}),
}
CURVES = {
    "low": "synthetic:mode=min,max_resource=27,divergence=0.1",
    "high": "synthetic:max_resource=27,seed=3,early_rank=0.2",
}
SEEDS, WORKERS = range(4), (2, 8)


def sweep(folder: Path, spec: str = SPEC, keep: int | None = None):
    """Run a sweep into a folder (the first cells only, if `keep` says so); return its results."""
    folder.mkdir(exist_ok=True)
    file = folder / "small.toml"
    file.write_text(spec)
    made, out = read_sweep(file), folder / "out"
    if keep is None:
        run_plan(made, out, "hbsim sweep small.toml", 1)
    else:
        some(made, out, made.studies[:keep])
    return read_results(out)


def some(made, out: Path, studies):
    """Run some studies of a plan into a folder."""
    with open_folder(out, made.cells, force=False) as store:
        write_plan(out, made.cells, made.manifest(), made.source.text, "hbsim sweep small.toml")
        store.add(run_studies([(study, True) for study in studies]))


@functools.cache
def by_hand(variant: str, surrogate: str, workers: int, seed: int):
    """Simulate a cell with nothing of the sweep."""
    kind, options = OPTIONS[variant]
    curves = hbsim.surrogates.load(CURVES[surrogate])
    scheduler = hbsim.make_scheduler(kind, max_t=27, mode=curves.mode, num_trials=40, seed=seed, **options)
    cluster = hbsim.Cluster(workers=workers, startup=2, save=1, load=1, drop_rate=0.001)
    max_time = 300 if surrogate == "low" else None
    return hbsim.simulate(scheduler, curves, seed=seed, cluster=cluster, max_time=max_time)


def incumbents_by_hand(result):
    """Yield time and value at R of each incumbent of a study."""
    frame = result.incumbent()
    for time, trial in zip(frame["time"], frame["trial"], strict=True):
        value = float(result.values_at_max([trial])[0])
        yield time, value if math.isfinite(value) else math.nan
