"""Surrogates: learning curves from synthetic families, recorded tables, predictions, and users' own code.

Names are imported on first use, so that `hbsim.surrogates.options` imports quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hbsim.surrogates.description import SurrogateDescription, describe, rank_correlation, spread_levels
    from hbsim.surrogates.fingerprints import fingerprint
    from hbsim.surrogates.fit_report import FitReport
    from hbsim.surrogates.fitted import Fitted, fit
    from hbsim.surrogates.import_table import Imported
    from hbsim.surrogates.importing import import_runs
    from hbsim.surrogates.protocol import Surrogate, check_levels
    from hbsim.surrogates.registry import available, load
    from hbsim.surrogates.synthetic import Ideal, Synthetic
    from hbsim.surrogates.table import Table
    from hbsim.surrogates.user import Checked
    from hbsim.surrogates.wrap_corrupted import Corrupted
    from hbsim.surrogates.wrappers import Delayed, Half, Negated, Noisy, ScaledCost
    from hbsim.surrogates.yahpo import Yahpo

__all__ = [
    "Checked",
    "Corrupted",
    "Delayed",
    "FitReport",
    "Fitted",
    "Half",
    "Ideal",
    "Imported",
    "Negated",
    "Noisy",
    "ScaledCost",
    "Surrogate",
    "SurrogateDescription",
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
    "Checked": "user",
    "Corrupted": "wrap_corrupted",
    "Delayed": "wrappers",
    "FitReport": "fit_report",
    "Fitted": "fitted",
    "Half": "wrappers",
    "Ideal": "synthetic",
    "Imported": "import_table",
    "Negated": "wrappers",
    "Noisy": "wrappers",
    "ScaledCost": "wrappers",
    "Surrogate": "protocol",
    "SurrogateDescription": "description",
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
