"""What the classes ask of a study, real or simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hbsim.core.scheduler import Scheduler
from hbsim.core.space import Space
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    import polars as pl

    from hbsim.autotorch.place import Place
    from hbsim.autotorch.setting import Setting
    from hbsim.simulation import Cluster

__all__ = ["AnyStudy", "make_study"]


class AnyStudy(Protocol):
    """A study that can be run: `LocalStudy` or `SimulatedStudy`.

    Attributes
    ----------
    space : Space or None
        Whose points can be queued; None: none can.
    surrogate : str or None
        The name of the learning curves of a simulated one.
    """

    space: Space | None
    surrogate: str | None

    def fresh(self) -> Scheduler:
        """Return a new core scheduler."""
        ...

    # Any: RunResult or Result, each study its own.
    def run(
        self, points: Sequence[Sequence[float]], place: Place, resume: bool, time_out: float | None
    ) -> Any:
        """Run the study with a queue of points, and return its result."""
        ...

    def load(self, place: Place) -> Any:
        """Return the result as it stands in a folder; None where none is kept."""
        ...

    def configuration(self, result: Any, trial: int) -> dict[str, object]:
        """Return a trial's configuration."""
        ...

    def reports(self, result: Any) -> pl.DataFrame:
        """Return columns trial, resource, value."""
        ...


def make_study(executor: str, setting: Setting, surrogate: object, cluster: Cluster | None) -> AnyStudy:
    """Return the study for an executor, with everything checked.

    Raises
    ------
    ParameterError
        Something in the request breaks a rule, on this machine or for this surrogate.
    """
    if executor == "sim":
        from hbsim.autotorch.simulated import SimulatedStudy

        if surrogate is None:
            raise ParameterError(
                "surrogate", None, "executor='sim' needs learning curves, 'digits' for example"
            )
        return SimulatedStudy(setting, surrogate, cluster)
    from hbsim.autotorch.local import LocalStudy

    for name, value in (("surrogate", surrogate), ("cluster", cluster)):
        if value is not None:
            raise ParameterError(name, value, "is for executor='sim'")
    return LocalStudy(setting)
