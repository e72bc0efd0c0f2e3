"""A callback that keeps a table of the trials, and says when there is a new best one.

hbsim run examples/train.py:train_fn --scheduler promotion --max-t 27 --trials 30 \
    --callback examples/callback.py:Table
"""

import csv

import hbsim


class Table(hbsim.Callback):
    """Write ``table.csv`` into the study's folder: a row each time a trial ends or pauses."""

    def on_study_start(self, study):
        self.study = study
        self.path = study.folder / "table.csv"
        self.best = study.best

    def on_report(self, trial, resource, metrics, time):
        if self.study.best is not self.best:
            self.best = self.study.best
            print(f"new best: trial {trial.number} has {self.best.value:.4f} at epoch {resource:g}")

    def on_trial_end(self, trial, status, time):
        row = {"time": time, "trial": trial.number, "status": status, "best": trial.best, **trial.config}
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            rows = csv.DictWriter(file, list(row))
            if is_new:
                rows.writeheader()
            rows.writerow(row)
