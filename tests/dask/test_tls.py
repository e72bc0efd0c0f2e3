"""A cluster of one's own over TLS: certificates by the command, and no way in without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hbsim
from hbsim.errors import ParameterError
from tests.doubles.dask_processes import dask_processes

from .studies import TRAINING, scheduler


def certificates(folder: Path) -> list[Path]:
    made = [sys.executable, "-m", "hbsim", "certificates", str(folder), "--hosts", "127.0.0.1"]
    subprocess.run(made, check=True, capture_output=True)
    return [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]


def test_a_study_over_tls_and_nobody_without_the_certificates(tmp_path: Path) -> None:
    ca, cert, key = certificates(tmp_path / "ours")
    options = ["--tls-ca-file", str(ca), "--tls-cert", str(cert), "--tls-key", str(key)]
    serving = ["--protocol", "tls", *options]
    with dask_processes(tmp_path, 1, scheduler_options=serving, worker_options=options) as cluster:
        assert cluster.address.startswith("tls://")
        code = [f"{TRAINING}:steady", "--scheduler", "promotion", "--max-t", "9", "--trials", "8"]
        where = ["--executor", "dask", "--scheduler-address", cluster.address, "--out", str(tmp_path / "exp")]
        ours = ["--tls-ca", str(ca), "--tls-cert", str(cert), "--tls-key", str(key)]
        command = [sys.executable, "-m", "hbsim", "run", *code, *where, *ours]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr.lower()

        theirs = certificates(tmp_path / "theirs")
        for address, files in ((cluster.address, theirs), (cluster.address.replace("tls", "tcp"), None)):
            names = ("tls_ca", "tls_cert", "tls_key")
            tls = {} if files is None else dict(zip(names, files, strict=True))
            dask = hbsim.Dask(scheduler_address=address, **tls)
            with pytest.raises(ParameterError, match="scheduler_address"):
                hbsim.run(f"{TRAINING}:steady", scheduler(), folder=tmp_path / "no", executor=dask)
            assert not (tmp_path / "no").exists()
