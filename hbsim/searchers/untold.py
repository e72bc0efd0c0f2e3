"""What a searcher is that takes no notice of what happens."""

from __future__ import annotations

__all__ = ["Untold"]


class Untold:
    """The half of a `Searcher` whose suggestions do not depend on what is observed."""

    model_based: bool = False
    listens: bool = False

    def register_pending(self, trial: int, level: float) -> None:
        """Take no notice."""

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Take no notice."""

    def forget(self, trial: int) -> None:
        """Take no notice."""
