"""The options that say on which other machines a command runs: hosts, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

from hbsim.cli.command import say
from hbsim.cli.fields import flag, given, number, whole, word
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.bench.remote import Remote
    from hbsim.executors.remote.options import Dask, Hosts

__all__ = ["BY_ADDRESS", "BY_HOSTS", "REMOTE", "RemoteOptions", "RunRemoteOptions", "make_options"]

PANEL: Final = "Other machines"


@dataclass(frozen=True, slots=True)
class _Machines:
    """Which machines, and how they are reached; the fields are those of `hbsim.Hosts` and `hbsim.Dask`."""

    hosts: Annotated[
        str | None,
        word(
            "--hosts",
            panel=PANEL,
            metavar="HOST,...",
            help="Run on these hosts, by SSH: names or addresses, as in gpu1,me@gpu2:2222.",
        ),
    ] = None
    ssh_user: Annotated[
        str | None, word("--ssh-user", panel=PANEL, metavar="NAME", help="The user on --hosts.")
    ] = None
    ssh_port: Annotated[
        int | None, whole("--ssh-port", panel=PANEL, help="The port of SSH (default: 22, or as in ~/.ssh).")
    ] = None
    ssh_key: Annotated[
        str | None, word("--ssh-key", panel=PANEL, metavar="FILE", help="The private key for SSH.")
    ] = None
    ssh_known_hosts: Annotated[
        str | None,
        word(
            "--ssh-known-hosts",
            panel=PANEL,
            metavar="FILE",
            help="Known hosts (default: ~/.ssh/known_hosts).",
        ),
    ] = None
    ssh_python: Annotated[
        str | None,
        word("--ssh-python", panel=PANEL, metavar="FILE", help="Python on --hosts (default: as here)."),
    ] = None
    ssh_timeout: Annotated[
        float | None,
        number(
            "--ssh-timeout",
            panel=PANEL,
            help="Seconds to connect to a host (20), and to start Python there (60).",
        ),
    ] = None
    scheduler_address: Annotated[
        str | None,
        word(
            "--scheduler-address",
            panel=PANEL,
            metavar="ADDRESS",
            help="Run on the workers of a Dask cluster: tls://HOST:8786 or tcp://HOST:8786.",
        ),
    ] = None
    tls_ca: Annotated[
        str | None,
        word("--tls-ca", panel=PANEL, metavar="FILE", help="For a tls:// address: the authority, PEM."),
    ] = None
    tls_cert: Annotated[
        str | None,
        word("--tls-cert", panel=PANEL, metavar="FILE", help="The same: this client's certificate, PEM."),
    ] = None
    tls_key: Annotated[
        str | None, word("--tls-key", panel=PANEL, metavar="FILE", help="The same: its key, PEM.")
    ] = None


@dataclass(frozen=True, slots=True)
class RemoteOptions(_Machines):
    """The same for simulated studies, and whether a network without TLS is trusted."""

    insecure: Annotated[
        bool,
        flag(
            "--insecure",
            panel=PANEL,
            help="Trust a tcp:// address: who sits in the network can run anything here.",
        ),
    ] = False

    def remote(self, jobs: int | None) -> Remote | None:
        """Return the machines that run the studies, None where this one does.

        Parameters
        ----------
        jobs : int, optional
            How many processes are started on each of the hosts.

        Raises
        ------
        ParameterError
            As `hbsim.Hosts`, `hbsim.Dask` and `hbsim.bench.remote.Remote`.
        """
        from hbsim.bench.remote import Remote

        options = {name: value for name, value in given(self).items() if name in BY_HOSTS | BY_ADDRESS}
        if options:
            return Remote(make_options(options), self.insecure, jobs, say=partial(say, "note"))
        if self.insecure:
            raise ParameterError("insecure", True, "is for --scheduler-address")
        return None


@dataclass(frozen=True, slots=True)
class RunRemoteOptions(_Machines):
    """The same for a study that trains, and how it is spread over the machines."""

    send: Annotated[
        str | None,
        word(
            "--send",
            panel=PANEL,
            metavar="file|folder",
            help="What of the code is sent to hosts: its file (default), or all of its folder.",
        ),
    ] = None
    storage: Annotated[
        str | None,
        word(
            "--storage",
            panel=PANEL,
            metavar="auto|shared|pull|URL",
            help="Where checkpoints are: in a folder that all hosts see, copied to and from them, at a URL.",
        ),
    ] = None
    lease: Annotated[
        float | None,
        number(
            "--lease", panel=PANEL, help="Seconds without contact after which a host counts as lost (30)."
        ),
    ] = None


REMOTE: Final = tuple(field.name for field in fields(RemoteOptions))
BY_ADDRESS: Final = frozenset({"scheduler_address", "tls_ca", "tls_cert", "tls_key"})
BY_HOSTS: Final = frozenset(field.name for field in fields(_Machines)) - BY_ADDRESS


def make_options(given: Mapping[str, Any]) -> Hosts | Dask:
    """Return what `hbsim.Hosts` or `hbsim.Dask` makes of options that were given, by their names.

    Raises
    ------
    ParameterError
        As these; or an option does not go with the others.
    """
    from hbsim.executors.remote.options import Dask, Hosts

    by_hosts = next((name for name in given if name in BY_HOSTS), None)
    by_address = next((name for name in given if name in BY_ADDRESS), None)
    if by_hosts and by_address:
        rule = f"is for hosts that are reached by SSH: it goes without {by_address}"
        raise ParameterError(by_hosts, given[by_hosts], rule)
    if by_hosts is None:
        return Dask(**given)
    if "hosts" not in given:
        raise ParameterError(by_hosts, given[by_hosts], "needs --hosts")
    hosts = [host.strip() for host in given["hosts"].split(",")]
    if not all(hosts):
        raise ParameterError("hosts", given["hosts"], "must be names or addresses, with commas between them")
    return Hosts(**{**given, "hosts": hosts})
