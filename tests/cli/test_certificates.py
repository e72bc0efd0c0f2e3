"""``hbsim certificates`` as its users run it."""

from __future__ import annotations

import json
import re

import click
import pytest


def test_it_says_what_to_start_with_them(inside, tmp_path):
    ran = inside("certificates", "my certs", "--hosts", "gpu1, gpu2")
    assert (ran.code, ran.err) == (0, "")
    words = "--tls-ca-file 'my certs/ca.pem' --tls-cert 'my certs/cert.pem' --tls-key 'my certs/key.pem'"
    assert f"\n  dask scheduler --protocol tls {words}\n" in ran.out
    assert f"\n  dask worker tls://gpu1:8786 {words}\n" in ran.out
    assert (
        "\n  hbsim run FILE.py:NAME --executor dask --scheduler-address tls://gpu1:8786"
        " --tls-ca 'my certs/ca.pem' --tls-cert 'my certs/cert.pem' --tls-key 'my certs/key.pem'\n"
    ) in ran.out
    assert sorted(path.name for path in (tmp_path / "my certs").iterdir()) == [
        "ca.pem",
        "cert.pem",
        "key.pem",
    ]


def test_every_option_that_it_names_is_one(inside):
    """Of Dask's commands as they are installed, and of this one's own."""
    from distributed.cli import dask_scheduler, dask_worker
    from typer.main import get_command

    from hbsim.cli.main import app

    run = get_command(app).commands["run"]
    commands = {"dask scheduler": dask_scheduler.main, "dask worker": dask_worker.main, "hbsim run": run}
    out = inside("certificates", "certs").out
    for name, command in commands.items():
        (line,) = re.findall(rf"(?m)^  {name} (.*)$", out)
        known = {option for parameter in command.params for option in parameter.opts}
        asked = set(re.findall(r"--[a-z-]+", line))
        assert asked
        assert asked <= known, name
    assert isinstance(dask_scheduler.main, click.Command)


def test_one_json_object(inside):
    ran = inside("certificates", "certs", "--hosts", "::1", "--days", "2", "--json")
    found = json.loads(ran.out)
    assert found.pop("until").endswith("+00:00")
    assert found == {"schema": 1, "ca": "certs/ca.pem", "cert": "certs/cert.pem", "key": "certs/key.pem"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["full"], "full: holds key.pem already; --force replaces it"),
        (["file"], "file: is a file; give a folder"),
        ([""], "'': must name a folder"),
        (["new", "--hosts", "a,,b"], "--hosts '': must be a name or an address"),
        (["new", "--days", "0"], "--days 0: must be a whole number of at least 1"),
        (["new", "--days", "9999"], "--days 9999: must be a whole number of at most 3650"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(inside, tmp_path, words, expected):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "key.pem").write_text("mine")
    (tmp_path / "file").write_text("")
    ran = inside("certificates", *words)
    assert (ran.code, ran.out, ran.err) == (2, "", f"hbsim: error: {expected}\n")
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "full" / "key.pem").read_text() == "mine"


def test_a_folder_that_cannot_be_made(inside, tmp_path):
    (tmp_path / "file").write_text("")
    ran = inside("certificates", "file/below")
    assert (ran.code, ran.err) == (1, "hbsim: error: file/below: cannot be written: Not a directory\n")


def test_files_are_replaced_with_force(inside, tmp_path):
    inside("certificates", "certs")
    before = (tmp_path / "certs" / "key.pem").read_text()
    assert inside("certificates", "certs", "--force").code == 0
    assert (tmp_path / "certs" / "key.pem").read_text() != before
