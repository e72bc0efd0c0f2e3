"""One question to an Optuna sampler about a study that is made up for it. Needs Optuna."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from optuna import Study, create_study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from hbsim.searchers.optuna_space import OptunaSpace, Params, quiet

__all__ = ["Row", "draws"]

_WHEN: Final = datetime(2000, 1, 1)  # Optuna wants a time; no sampler looks at it


class Row(NamedTuple):
    """A configuration, and its value, larger is better; None: it is under way."""

    params: Params
    value: float | None


def draws(rows: Sequence[Row], space: OptunaSpace, sampler: BaseSampler, n: int) -> Iterator[Params]:
    """Ask a sampler for up to n configurations that go on from these rows.

    A draw counts as under way for the next one.

    Parameters
    ----------
    rows : sequence of Row
        In the order in which Optuna numbers them.
    space : OptunaSpace
        Whose params the rows have.
    sampler : BaseSampler
        New: its random numbers are used up from here on.
    n : int
        How many at most.
    """
    with quiet():
        study = _study(rows, space, sampler)
    for _ in range(n):
        with quiet():
            params = space.suggest(study.ask())
        yield params


def _study(rows: Sequence[Row], space: OptunaSpace, sampler: BaseSampler) -> Study:
    storage = InMemoryStorage()
    study = create_study(storage=storage, sampler=sampler, direction="maximize", study_name="hbsim")
    number = storage.get_study_id_from_name("hbsim")
    for row in rows:  # not by `add_trial`: its checks take most of the time
        storage.create_new_trial(number, _frozen(row, space.of(row.params)))
    return study


class _Frozen(FrozenTrial):
    """A trial whose copies share its params: storages copy deeply what is given to them."""

    def __deepcopy__(self, memo: dict[int, object]) -> _Frozen:
        return copy.copy(self)


def _frozen(row: Row, distributions: dict[str, BaseDistribution]) -> _Frozen:
    state = TrialState.RUNNING if row.value is None else TrialState.COMPLETE
    end = None if row.value is None else _WHEN
    return _Frozen(-1, state, row.value, _WHEN, end, row.params, distributions, {}, {}, {}, -1)
