"""How many examples hypothesis tries: few at every change, more with ``HBSIM_THOROUGH=1``."""

import os
from typing import Final

import pytest

THOROUGH: Final = bool(os.environ.get("HBSIM_THOROUGH"))
MOST: Final = 25  # otherwise


def examples(count: int, most: int = MOST) -> int:
    """Return how many examples a test tries that has so many in the thorough profile."""
    return count if THOROUGH else min(count, most)


thorough = pytest.mark.skipif(not THOROUGH, reason="takes half a minute: HBSIM_THOROUGH=1")
