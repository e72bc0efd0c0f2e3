"""``hbsim certificates``: what a Dask cluster needs to encrypt its connections, and to let in nobody else."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.fields import whole
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.executors.dask.certificates import Certificates

__all__ = ["certificates"]

_PORT: Final = 8786  # Dask's own


def certificates(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Where the files are written.")],
    *,
    hosts: Annotated[
        str | None,
        typer.Option(
            "--hosts", metavar="HOST,...", help="Names and addresses they are for; the scheduler's first."
        ),
    ] = None,
    days: Annotated[int, whole("--days", panel="Options", help="How long they are valid.")] = 365,
    force: Annotated[bool, typer.Option("--force", help="Replace files of these names in DIR.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make certificates for a Dask cluster, and say what to start it with.

    Dask's connections are neither encrypted nor authenticated otherwise: whoever reaches a port can run code.
    A cluster that hbsim starts itself (--hosts) gets its own certificates; these are for one that you start.

    For example:
      hbsim certificates certs --hosts gpu1,gpu2
    """
    from hbsim.cli.output import print_json
    from hbsim.errors import ParameterError
    from hbsim.executors.dask.certificates import FILES, make_certificates

    if folder == "":
        raise ParameterError("folder", folder, "must name a folder")
    names = [] if hosts is None else [host.strip() for host in hosts.split(",")]
    made = make_certificates(folder, names, days, force)
    paths = [str(Path(folder, name)) for name in FILES]
    if as_json:
        until = made.until.isoformat()
        print_json(dict(zip(("ca", "cert", "key"), paths, strict=True)) | {"until": until})
    else:
        print_out(_text(made, paths, names[0] if names else "HOST"))


def _text(made: Certificates, paths: list[str], host: str) -> str:
    authority, certificate, key = map(shlex.quote, paths)
    place = f"[{host}]" if ":" in host else host
    theirs = f"--tls-ca-file {authority} --tls-cert {certificate} --tls-key {key}"
    ours = f"--tls-ca {authority} --tls-cert {certificate} --tls-key {key}"
    address = shlex.quote(f"tls://{place}:{_PORT}")
    return f"""\
Wrote {authority}, {certificate} and {key}; they are valid until {made.until:%Y-%m-%d}.

Copy them to every host. The scheduler, on {host}:
  dask scheduler --protocol tls {theirs}
A worker, on each host:
  dask worker {address} {theirs}
A study, here:
  hbsim run FILE.py:NAME --executor dask --scheduler-address {address} {ours}

Whoever has {key} can run code on these hosts. Keep it to yourself (mode 600)."""
