"""The options that say which Dask cluster is used, of all commands that can use one."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

from hbsim.cli.fields import flag, given, number, whole, word
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.executors.dask.options import Dask

__all__ = ["DaskOptions", "RunDaskOptions"]

DASK: Final = "Dask cluster"
RUN: Final = "Dask (--executor dask)"


@dataclass(frozen=True, slots=True)
class DaskOptions:
    """Where the cluster is, and how it is reached; the fields are those of `hbsim.Dask`."""

    hosts: Annotated[
        str | None,
        word(
            "--hosts",
            panel=DASK,
            metavar="HOST,...",
            help="Start a cluster on these hosts by SSH: a scheduler on the first, a worker a core on each.",
        ),
    ] = None
    scheduler_address: Annotated[
        str | None,
        word(
            "--scheduler-address",
            panel=DASK,
            metavar="ADDRESS",
            help="Use a cluster that runs: tls://HOST:8786 or tcp://HOST:8786.",
        ),
    ] = None
    ssh_user: Annotated[
        str | None, word("--ssh-user", panel=DASK, metavar="NAME", help="The user on --hosts.")
    ] = None
    ssh_port: Annotated[
        int | None, whole("--ssh-port", panel=DASK, help="The port of SSH (default: 22, or as in ~/.ssh).")
    ] = None
    ssh_key: Annotated[
        str | None, word("--ssh-key", panel=DASK, metavar="FILE", help="The private key for SSH.")
    ] = None
    ssh_known_hosts: Annotated[
        str | None,
        word(
            "--ssh-known-hosts",
            panel=DASK,
            metavar="FILE",
            help="Known hosts (default: ~/.ssh/known_hosts).",
        ),
    ] = None
    ssh_python: Annotated[
        str | None,
        word("--ssh-python", panel=DASK, metavar="FILE", help="Python on --hosts (default: as here)."),
    ] = None
    ssh_timeout: Annotated[
        float | None,
        number(
            "--ssh-timeout",
            panel=DASK,
            help="Seconds for each step of a start by SSH: connecting (20), imports (60), Dask (120).",
        ),
    ] = None
    tls: Annotated[
        bool | None,
        flag(
            "--tls/--no-tls",
            panel=DASK,
            help="With --hosts: encrypt, by certificates made for this run (default), or not.",
        ),
    ] = None
    tls_ca: Annotated[
        str | None,
        word("--tls-ca", panel=DASK, metavar="FILE", help="For a tls:// address: the authority, PEM."),
    ] = None
    tls_cert: Annotated[
        str | None,
        word("--tls-cert", panel=DASK, metavar="FILE", help="The same: this client's certificate, PEM."),
    ] = None
    tls_key: Annotated[
        str | None, word("--tls-key", panel=DASK, metavar="FILE", help="The same: its key, PEM.")
    ] = None

    def make(self) -> Dask | None:
        """Return what `hbsim.Dask` makes of it; None where nothing was given.

        Raises
        ------
        ParameterError
            As `hbsim.Dask`.
        """
        from hbsim.executors.dask.options import Dask

        options = given(self)
        if "hosts" in options:
            options["hosts"] = tuple(host.strip() for host in options["hosts"].split(","))
        try:
            return Dask(**options) if options else None
        except ParameterError as error:
            value = None if isinstance(error.value, bool) else error.value
            raise ParameterError(
                error.field, value, error.rule.replace("needs hosts", "needs --hosts")
            ) from None


@dataclass(frozen=True, slots=True)
class RunDaskOptions(DaskOptions):
    """The same, and how a study that trains is spread over the cluster."""

    hosts: Annotated[
        str | None,
        word(
            "--hosts",
            panel=RUN,
            metavar="HOST,...",
            help="Start a cluster on these hosts by SSH: a scheduler on the first, a worker on each.",
        ),
    ] = None
    send: Annotated[
        str | None,
        word(
            "--send",
            panel=RUN,
            metavar="file|folder",
            help="What of the code is sent to hosts: its file (default), or all of its folder.",
        ),
    ] = None
    storage: Annotated[
        str | None,
        word(
            "--storage",
            panel=RUN,
            metavar="auto|shared|pull|URL",
            help="Where checkpoints are: in a folder that all hosts see, where they were made, at a URL.",
        ),
    ] = None
    lease: Annotated[
        float | None,
        number("--lease", panel=RUN, help="Seconds without contact after which a host counts as lost (30)."),
    ] = None


def _under(group: type[Any], heading: str) -> dict[str, Any]:
    """Return a group's options for another heading of the help."""
    moved = {}
    for name, hint in get_type_hints(group, include_extras=True).items():
        kind, option = hint.__origin__, copy.copy(hint.__metadata__[0])
        option.rich_help_panel = heading
        moved[name] = Annotated[kind, option]
    return moved


RunDaskOptions.__annotations__ = _under(DaskOptions, RUN) | RunDaskOptions.__annotations__
