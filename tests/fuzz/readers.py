"""All readers, by name."""

from __future__ import annotations

from typing import Final

from tests.fuzz import readers_curves as curves
from tests.fuzz import readers_studies as studies
from tests.fuzz.run import Make

__all__ = ["READERS"]

READERS: Final[dict[str, Make]] = {
    "csv": curves.Csv,
    "parquet": curves.Parquet,
    "npz": curves.Npz,
    "import-syne-tune": curves.SyneTune,
    "import-ray": curves.Ray,
    "import-optuna": curves.Optuna,
    "import-wandb": curves.Wandb,
    "import-mlflow": curves.Mlflow,
    "yahpo": curves.Yahpo,
    "surrogate": curves.Objects,
    "sweep-toml": studies.SweepToml,
    "cluster-toml": studies.ClusterToml,
    "command": studies.Commands,
    "journal": studies.Journals,
    "state": studies.States,
    "space": studies.Spaces,
    "sweep-folder": studies.SweepFolders,
}
