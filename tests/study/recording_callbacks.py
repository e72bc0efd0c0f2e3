"""Callbacks for tests: they record the calls that they get, or misbehave."""

from __future__ import annotations

import json
import time

import hbsim


class Recorder(hbsim.Callback):
    """Write each call as a line of JSON, in a process of its own."""

    own_process = True

    def __init__(self, path):
        self.path = path

    def write(self, *words):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(words) + "\n")

    def on_study_start(self, study):
        self.study, self.changes = study, []
        self.write("study", study.resumed)

    def on_trial_start(self, trial, time):
        self.write("start", trial.number, trial.attempt, trial.config, time)

    def on_report(self, trial, resource, metrics, time):
        self.changes.append(dict(trial.changes))
        best = self.study.best  # another trial may report at the same time
        new_best = best is not None and (best.trial, best.resource, best.time) == (
            trial.number,
            resource,
            time,
        )
        self.write("report", trial.number, resource, metrics, time, trial.reached, new_best)

    def on_decision(self, trial, resource, value, verdict, time):
        self.write("decision", trial.number, resource, value, verdict, time)

    def on_failure(self, trial, kind, reason, verdict, time):
        self.write("failure", trial.number, kind, reason, verdict, time)

    def on_trial_end(self, trial, status, time):
        self.write("end", trial.number, status, time)

    def on_study_end(self, why, time):
        self.write("over", why, self.study.counts)

    def flush(self):
        self.write("flush")


class LocalRecorder(Recorder):
    """Keep each call in a list."""

    own_process = False

    def __init__(self):
        self.calls = []

    def write(self, *words):
        self.calls.append(json.loads(json.dumps(words)))


class Fails(hbsim.Callback):
    """Raise an error at each report."""

    def on_report(self, trial, resource, metrics, time):
        raise ValueError("no\nnetwork")


class FailsAtOnce(LocalRecorder):
    """Raise an error where the study starts."""

    def on_study_start(self, study):
        raise ConnectionError("no server")


class Exits(hbsim.Callback):
    """End the process, its own."""

    own_process = True

    def on_trial_start(self, trial, time):
        import os

        os._exit(3)


class Hangs(hbsim.Callback):
    """Never return from the first report."""

    def on_report(self, trial, resource, metrics, seconds):
        while True:
            time.sleep(1000)


class HangsInOwnProcess(Hangs):
    """The same in a process of its own."""

    own_process = True
