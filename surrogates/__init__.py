"""Learning curves: synthetic families, recorded tables, predicted ones, and users' own.

Names are loaded when they are first used, so that `hbsim.surrogates.options` is read quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hbsim.surrogates.checked import Checked
    from hbsim.surrogates.description import Description, describe, rank_correlation, spread_levels
    from hbsim.surrogates.fingerprints import fingerprint
    from hbsim.surrogates.fit_report import FitReport
    from hbsim.surrogates.fitted import Fitted, fit
    from hbsim.surrogates.importing import Imported, import_runs
    from hbsim.surrogates.protocol import Surrogate, check_levels
    from hbsim.surrogates.registry import available, load
    from hbsim.surrogates.simple import Ideal
    from hbsim.surrogates.synthetic import Synthetic
    from hbsim.surrogates.table import Table
    from hbsim.surrogates.wrap_corrupted import Corrupted
    from hbsim.surrogates.wrap_cost import ScaledCost
    from hbsim.surrogates.wrap_delayed import Delayed
    from hbsim.surrogates.wrap_half import Half
    from hbsim.surrogates.wrap_negated import Negated
    from hbsim.surrogates.wrap_noise import Noisy
    from hbsim.surrogates.yahpo import Yahpo

__all__ = [
    "Checked",
    "Corrupted",
    "Delayed",
    "Description",
    "FitReport",
    "Fitted",
    "Half",
    "Ideal",
    "Imported",
    "Negated",
    "Noisy",
    "ScaledCost",
    "Surrogate",
    "Synthetic",
    "Table",
    "Yahpo",
    "available",
    "check_levels",
    "describe",
    "fingerprint",
    "fit",
    "import_runs",
    "load",
    "rank_correlation",
    "spread_levels",
]

_MODULES: Final = {
    "Checked": "checked",
    "Corrupted": "wrap_corrupted",
    "Delayed": "wrap_delayed",
    "Description": "description",
    "FitReport": "fit_report",
    "Fitted": "fitted",
    "Half": "wrap_half",
    "Ideal": "simple",
    "Imported": "importing",
    "Negated": "wrap_negated",
    "Noisy": "wrap_noise",
    "ScaledCost": "wrap_cost",
    "Surrogate": "protocol",
    "Synthetic": "synthetic",
    "Table": "table",
    "Yahpo": "yahpo",
    "available": "registry",
    "check_levels": "protocol",
    "describe": "description",
    "fingerprint": "fingerprints",
    "fit": "fitted",
    "import_runs": "importing",
    "load": "registry",
    "rank_correlation": "description",
    "spread_levels": "description",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'hbsim.surrogates' has no attribute {name!r}")
    return getattr(import_module(f"hbsim.surrogates.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
