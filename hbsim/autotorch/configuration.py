"""The configuration in what `add_job` is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.core.space import Space

__all__ = ["point_of"]


def point_of(task: object, space: Space | None) -> list[float]:
    """Return a configuration as a point of the unit cube.

    Parameters
    ----------
    task : mapping or object
        Values by name; or a task, with the configuration in ``task.args["config"]``.
    space : Space or None
        Whose configuration it is.

    Raises
    ------
    ParameterError
        A name is missing or unknown, a value is outside of its range; or there are no configurations.
    """
    if space is None:
        rule = "the surrogate is a table: its rows are drawn in a seeded order, none can be queued"
        raise ParameterError("task", task, rule)
    configuration = _configuration(task)
    for name, value in configuration.items():
        if isinstance(value, list):
            raise ParameterError(str(name), value, "must be one value")
    return [float(coordinate) for coordinate in space.encode(configuration)]


def _configuration(task: object) -> Mapping[str, object]:
    holder = task if isinstance(task, Mapping) else vars(task) if hasattr(task, "__dict__") else {}
    args = holder.get("args", getattr(task, "args", None))
    if isinstance(args, Mapping) and "config" in args:
        task = args["config"]
    if not isinstance(task, Mapping):
        rule = "must be a mapping of names to values, or a task with one in args['config']"
        raise ParameterError("task", task, rule)
    return task
