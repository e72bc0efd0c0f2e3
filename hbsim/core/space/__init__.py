"""The search space: parameters, the unit cube that stands for them, and a function's arguments."""

from hbsim.core.space.arguments import Args, DecoratedFunction, args, arguments, space_of
from hbsim.core.space.configspace import from_configspace, to_configspace
from hbsim.core.space.nested import Dict, List, Nested, NestedChoice, SearchedObject, func, obj
from hbsim.core.space.parameters import Bool, Choice, Int, Parameter, Real
from hbsim.core.space.space import Space

__all__ = [
    "Args",
    "Bool",
    "Choice",
    "DecoratedFunction",
    "Dict",
    "Int",
    "List",
    "Nested",
    "NestedChoice",
    "Parameter",
    "Real",
    "SearchedObject",
    "Space",
    "args",
    "arguments",
    "from_configspace",
    "func",
    "obj",
    "space_of",
    "to_configspace",
]
