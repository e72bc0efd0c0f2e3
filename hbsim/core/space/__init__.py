"""The search space: parameters, the unit cube that stands for them, and a function's arguments."""

from hbsim.core.space.arguments import Args, args, arguments, space_of
from hbsim.core.space.configspace import from_configspace, to_configspace
from hbsim.core.space.parameters import Bool, Choice, Int, Parameter, Real
from hbsim.core.space.space import Space

__all__ = [
    "Args",
    "Bool",
    "Choice",
    "Int",
    "Parameter",
    "Real",
    "Space",
    "args",
    "arguments",
    "from_configspace",
    "space_of",
    "to_configspace",
]
