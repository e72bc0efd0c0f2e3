"""A certificate for a Dask cluster, made by the commands that the documentation has."""

from __future__ import annotations

import subprocess
from pathlib import Path

PAGE = Path(__file__).parents[2] / "examples" / "dask" / "README.md"


def make_certificate(folder: Path) -> dict[str, Path]:
    """Make one in `folder`/certs; return the files by the names of hbsim's options."""
    folder.mkdir(parents=True, exist_ok=True)
    commands = PAGE.read_text("utf-8").partition("mkdir -m 700 certs\n")
    words = commands[1] + commands[2].partition("certs/cert.pem\n")[0] + "certs/cert.pem"
    subprocess.run(["sh", "-ec", words], cwd=folder, check=True, capture_output=True)
    certificate, key = folder / "certs" / "cert.pem", folder / "certs" / "key.pem"
    assert key.stat().st_mode & 0o077 == 0
    return {"tls_ca": certificate, "tls_cert": certificate, "tls_key": key}
