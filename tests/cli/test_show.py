"""``hbsim show``: the status of a study, read from its folder while another process may write there."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import warnings
import zlib

import pytest

import hbsim
from hbsim.errors import JournalError
from hbsim.study.status import read_status
from tests.cli.run_studies import START, TRAIN, printed
from tests.study.made import Made


def contents(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()
    }


def test_a_study_that_is_over(whole, call, monkeypatch):
    before = contents(whole)
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = call("show", str(whole))
    assert (code, err) == (0, "")
    result = hbsim.load(whole)
    best = result.summary()["best_trial"]
    assert re.search(r"^state +done, at \d{4}-", out, re.M)
    assert "time left" not in out
    assert "12 of 12 started" in out
    first = out[out.index("Best 10 trials") :].splitlines()[2].split()
    assert first[0] == str(best)
    assert f"{result.best_config['x']:.4g}" in first
    rungs = out[out.index("Rungs\n") :].splitlines()
    assert len(rungs) == 2 + len(result.rungs())
    assert contents(whole) == before
    assert call("show", str(whole), "--watch").code == 0
    assert contents(whole) == before


def test_json(whole, call):
    shown = printed(call("show", str(whole), "--json").out)
    result = hbsim.load(whole)
    assert shown["state"] == "done"
    assert shown["time_left"] is None
    assert shown["running"] == shown["failures"] == []
    assert shown["rungs"] == result.rungs().to_dicts()
    assert len(shown["top"]) == 10
    values = [one["best"] for one in shown["top"]]
    assert values == sorted(values, reverse=True)
    assert shown["top"][0]["configuration"] == result.best_config
    assert shown["checkpoint"] == str(result.best.checkpoint)
    assert call("show", str(whole), "--json", "--watch").code == 2


def test_a_journal_cut_at_any_byte(whole, tmp_path, call):
    text = (whole / "journal.jsonl").read_bytes()
    folder = tmp_path / "exp"
    folder.mkdir()
    first = text.index(b"\n") + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cut in [*range(first, len(text), len(text) // 25), len(text) - 1]:
            (folder / "journal.jsonl").write_bytes(text[:cut])
            status = read_status(folder)
            assert status.state == "killed"
            assert status.result.scheduler.started <= 12
            status.top(), status.failures(), status.as_dict()
    assert status.time_left.seconds is not None
    (folder / "journal.jsonl").write_bytes(text[: first - 5])
    with pytest.raises(JournalError):
        read_status(folder)
    assert call("show", "exp").code == 2


def test_a_study_of_another_process(start, tmp_path, call):
    (tmp_path / "train.py").write_text(TRAIN)
    study = start(*START.split(), "30", "--workers", "2", "--set", "pause=0.2", "--max-time", "500")
    journal = tmp_path / "exp" / "journal.jsonl"
    study.when(lambda: journal.exists() and journal.read_bytes().count(b'"reach"') >= 3)
    shown = printed(call("show", "exp", "--json").out)
    assert shown["state"] == "running"
    assert re.fullmatch(r"process \d+", shown["process"])
    assert 1 <= len(shown["running"]) <= 2
    assert shown["running"][0]["configuration"].keys() == {"x", "kind"}
    left = shown["time_left"]
    assert 0 < left["low"] <= left["seconds"] <= left["high"] <= left["at_most"] < 500
    out = call("show", "exp").out
    assert re.search(r"^state +running for 0:\d\d:\d\d, since \d{4}-", out, re.M)
    assert re.search(r"^time left +about .* simulations .* at most .*by max_time", out, re.M)
    assert "Running now" in out
    assert " bracket" not in out[out.index("Running now") : out.index("Rungs")]  # there is one
    seen = journal.read_bytes().count(b'"reach"')
    study.when(lambda: journal.read_bytes().count(b'"reach"') > seen)  # it goes on undisturbed
    study.signal(signal.SIGKILL)
    study.end()
    out = " ".join(call("show", "exp").out.split())
    assert "its process was killed" in out
    assert "once it is resumed" in out
    assert "hbsim run --resume --folder exp" in out
    assert "Running now" not in out


def test_watch_ends_with_the_study(start, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    study = start(*START.split(), "2", "--workers", "2", "--set", "pause=0.3")
    study.when(lambda: (tmp_path / "exp" / "journal.jsonl").exists())
    watch = start("show", "exp", "--watch")
    code, out, _ = watch.end()
    assert code == 0
    assert "done" in out
    assert study.end()[0] == 0


def test_ctrl_c_ends_watch(whole, tmp_path, call, monkeypatch):
    text = (whole / "journal.jsonl").read_bytes()
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "journal.jsonl").write_bytes(text[: len(text) // 2])
    monkeypatch.setattr("hbsim.study.status.writer", lambda *_: "process 1")

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    code, out, err = call("show", "exp", "--watch")
    assert (code, err) == (0, "")
    (line,) = out.splitlines()  # stdout is no terminal: a line for each state
    assert re.match(r"running for .* by process 1; .* of 12 started: .*; accuracy .*: trial \d+ at", line)


def test_failures_have_reasons_and_logs(start, tmp_path, call):
    (tmp_path / "train.py").write_text(TRAIN)
    assert start(*START.split(), "4", "--workers", "2", "--set", "fail=2", "--retries", "1").end()[0] == 0
    shown = printed(call("show", "exp", "--json").out)
    log = str(tmp_path / "exp" / "trials" / "000002" / "log.txt")
    (failure,) = shown["failures"]
    assert (failure["trial"], failure["kind"], failure["count"], failure["final"]) == (2, "error", 2, True)
    assert "no luck today" in failure["reason"]
    assert failure["log"] == log
    out = call("show", "exp").out
    assert "trial 2, error, 2 times, failed for good: ValueError: no luck today" in out
    assert log in out.replace("\n", "")


def test_a_page_in_the_folder_or_elsewhere(whole, tmp_path, call, monkeypatch):
    monkeypatch.setattr("hbsim.study.status.ended", lambda folder: pytest.fail("it waits: for what?"))
    folder = tmp_path / "exp"
    shutil.copytree(whole, folder)
    code, out, err = call("show", "--html", "exp")  # the next word is a file only if it ends as one
    assert (code, out.split(), err) == (0, ["exp/study.html"], "")
    page = (folder / "study.html").read_text("utf-8")
    assert "done, at" in page
    assert call("show", "exp", "--html", "page.html").code == 0
    written = re.compile(r"written at \d\d:\d\d:\d\d<")
    assert written.sub("", (tmp_path / "page.html").read_text("utf-8")) == written.sub("", page) != page
    assert call("show", "exp", "--html=page.html", "--watch").code == 0  # the study is over
    (tmp_path / "other.html").write_text("mine")
    ran = call("show", "exp", "--html", "other.html")
    assert ran.code == 2
    assert "is no page of hbsim" in ran.err
    assert (tmp_path / "other.html").read_text() == "mine"
    assert "must end in .html" in call("show", "exp", "--html=page.txt").err
    assert "there is no folder" in call("show", "exp", "--html=nothing/page.html").err
    assert call("show", "exp", "--html", "--json").code == 2


def test_pages_are_written_every_15_seconds_and_take_an_eighth_of_a_core(whole, tmp_path, call, monkeypatch):
    folder = tmp_path / "exp"
    shutil.copytree(whole, folder)
    text = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(text[: len(text) // 2])
    now = 0.0
    used: list[float] = []  # seconds of the processor
    pages: list[float] = []  # when each page is written

    def write(status, refresh, every):
        pages.append(now)
        used.append(used[-1] + 3.0)
        if len(pages) == 4:
            (folder / "journal.jsonl").write_bytes(text)
        return f"every {every}"

    def sleep(seconds):
        nonlocal now
        now += 1.0

    used.append(0.0)
    monkeypatch.setattr("hbsim.study.status.writer", lambda *_: "process 1")
    monkeypatch.setattr("os.nice", lambda by: by)
    monkeypatch.setattr("hbsim.bench.study_page.render_study", write)
    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("time.process_time", lambda: used[-1])
    assert call("show", "exp", "--html=page.html", "--watch").code == 0
    assert pages == [0, 15, 40, 65, 65]
    assert (tmp_path / "page.html").read_text() == "every None"


def test_the_best_trials_have_the_epoch_of_their_value(tmp_path, call):
    made = Made(tmp_path / "exp", "fifo", num_trials=1, max_t=4)
    made.play(1, lambda trial, epoch: [0.1, 0.9, 0.9, 0.5][int(epoch) - 1])
    made.result(1)
    out = call("show", "exp").out
    head, row = out[out.index("Best trial") :].splitlines()[1:3]
    assert head.split()[:5] == ["trial", "accuracy", "epoch", "reached", "status"]
    assert row.split()[:5] == ["0", "0.9", "2", "4", "completed"]
    shown = printed(call("show", "exp", "--json").out)
    assert (shown["top"][0]["resource"], shown["top"][0]["reached"]) == (2, 4)
    assert shown["folder"] == printed(call("best", "exp", "--json").out)["folder"] == str(tmp_path / "exp")
    call("show", "exp", "--html")
    page = (tmp_path / "exp" / "study.html").read_text("utf-8")
    text = re.search(r'id="data-study">([^<]*)<', page)[1]
    (table,) = json.loads(zlib.decompress(base64.b64decode(text)))["tables"]
    assert "<th>best accuracy</th><th>at epoch</th><th>reached</th>" in table
    cells = "".join(f'<td class="number">{one}</td>' for one in ("0.9", "2", "4"))
    assert f'<td class="status">completed</td>{cells}' in table


def test_the_page_is_written_again_until_the_study_is_over(whole, tmp_path, call, monkeypatch):
    text = (whole / "journal.jsonl").read_bytes()
    folder = tmp_path / "exp"
    folder.mkdir()
    (folder / "journal.jsonl").write_bytes(text[: len(text) // 2])
    monkeypatch.setattr("hbsim.study.status.writer", lambda *_: "process 1")
    monkeypatch.setattr("os.nice", lambda by: by)
    seen = []

    def sleep(seconds):
        seen.append((folder / "study.html").read_text("utf-8"))
        (folder / "journal.jsonl").write_bytes(text)  # which ends the wait at once

    monkeypatch.setattr("time.sleep", sleep)
    assert call("show", "exp", "--html", "--watch").code == 0
    (first,) = seen
    assert "by process 1" in first
    assert re.search(r"written at \d\d:\d\d:\d\d, and again about every 15 s while the study runs", first)
    assert 'http-equiv="refresh"' in first
    last = (folder / "study.html").read_text("utf-8")
    assert "done, at" in last
    assert 'http-equiv="refresh"' not in last


def test_run_keeps_a_page(start, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    code, out, err = start(*START.split(), "4", "--workers", "2", "--html").end()
    assert (code, err.count("hbsim: warning")) == (0, 0)
    page = (tmp_path / "exp" / "study.html").read_text("utf-8")
    assert "done, at" in page
    assert "4 of 4 started" in page
    assert "study.html" in out


def test_folders_without_a_study(tmp_path, call):
    assert "there is no such folder" in call("show", "nothing").err
    (tmp_path / "empty").mkdir()
    ran = call("show", "empty")
    assert ran.code == 2
    assert "holds no study: it has no journal.jsonl" in ran.err
    (tmp_path / "empty" / "summary.json").touch()
    assert "simulated" in call("show", "empty").err
