"""The options of commands that simulate many studies: which Dask cluster runs them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

from hbsim.cli.command import say
from hbsim.cli.dask_options import DASK, DaskOptions
from hbsim.cli.fields import flag
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.bench.remote import Remote

__all__ = ["REMOTE", "RemoteOptions"]

_DASK: Final = tuple(field.name for field in fields(DaskOptions))


@dataclass(frozen=True, slots=True)
class RemoteOptions(DaskOptions):
    """The same, and whether a network without TLS is trusted."""

    insecure: Annotated[
        bool,
        flag(
            "--insecure",
            panel=DASK,
            help="Trust a network without TLS: who sits there can run anything here.",
        ),
    ] = False

    def remote(self, jobs: int | None) -> Remote | None:
        """Return the cluster that runs the studies, None where this machine does.

        Parameters
        ----------
        jobs : int, optional
            How many workers are started on each of the hosts.

        Raises
        ------
        ParameterError
            As `hbsim.Dask` and `hbsim.bench.Remote`.
        """
        from hbsim.bench.remote import Remote

        options = DaskOptions(**{name: getattr(self, name) for name in _DASK}).make()
        if options is not None:
            return Remote(options, self.insecure, jobs, say=partial(say, "note"))
        if self.insecure:
            raise ParameterError("insecure", True, "is for --scheduler-address, or --hosts with --no-tls")
        return None


REMOTE: Final = tuple(field.name for field in fields(RemoteOptions))
