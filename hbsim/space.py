"""The module `space` of AutoTorch: ``import hbsim as at``, ``at.space.Int(lower=0, upper=10)``."""

from hbsim.core.space import Bool, Choice, Dict, Int, List, Real
from hbsim.core.space import Nested as NestedSpace
from hbsim.core.space import SearchedObject as AutoTorchObject

Categorical = Choice

__all__ = ["AutoTorchObject", "Bool", "Categorical", "Choice", "Dict", "Int", "List", "NestedSpace", "Real"]
