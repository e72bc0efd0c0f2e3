"""A training function's search space and constants, and the arguments of one of its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from hbsim.core.space.parameters import Parameter
from hbsim.core.space.space import Space
from hbsim.errors import ParameterError, nearest

Function = TypeVar("Function", bound=Callable[..., object])

# Args answers to these as a mapping does, so they cannot be arguments read by attribute.
_RESERVED: Final = frozenset(name for name in dir(Mapping) if not name.startswith("__"))


class Args(Mapping[str, object]):
    """The arguments of one run: ``args.lr`` and ``args["lr"]`` are the same.

    A mapping from name to value in the order of the decorator; more can be set either way.

    Parameters
    ----------
    values : mapping
        The first names and values.

    Raises
    ------
    ParameterError
        A name is one of the mapping's own methods (get, items, keys, values).
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            self[name] = value

    def __getattr__(self, name: str) -> object:  # only called for what is not there
        hint = nearest(name, self.__dict__)
        raise AttributeError(f"no argument {name!r} among {', '.join(self.__dict__)}.{hint}")

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def __getitem__(self, name: str) -> object:
        return self.__dict__[name]

    def __setitem__(self, name: str, value: object) -> None:
        _check_name(name, value)
        self.__dict__[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __repr__(self) -> str:
        return f"Args({self.__dict__!r})"


# **values, alone in this package: the names are the user's own, the arguments of the function below it.
def args(*misused: object, **values: object) -> Callable[[Function], Function]:
    """Give a training function its search space and its constants.

    ::

        @hbsim.args(lr=hbsim.Real(1e-3, 1e-1, log=True), epochs=10)
        def train_fn(args, reporter): ...

    Parameters
    ----------
    **values
        `Real`, `Int`, `Choice` and `Bool` make the search space; anything else is a constant.

    Returns
    -------
    decorator
        Returns the same function, with two attributes: ``space``, a `Space`, and ``defaults``, a
        dict of all arguments (the constants, and the parameters' defaults). It is called and
        pickled as before.

    Raises
    ------
    ParameterError
        A name is a method of `Args`, a parameter was given as a class, or what is decorated cannot
        hold attributes.
    """
    if misused:
        rule = "needs its parameters: @hbsim.args(lr=hbsim.Real(1e-3, 1e-1, log=True), ...)"
        raise ParameterError("args", misused[0], rule)
    for name, value in values.items():
        _check_name(name, value)
        if isinstance(value, type) and issubclass(value, Parameter):
            raise ParameterError(name, value, f"write its range or choices: {value.__name__}(...)")
    parameters = {name: value for name, value in values.items() if isinstance(value, Parameter)}
    space = Space(parameters)
    defaults = values | space.defaults

    def decorate(function: Function) -> Function:
        if not callable(function):
            raise ParameterError("function", function, "must be a function")
        try:
            for name, value in (("space", space), ("defaults", defaults)):
                setattr(function, name, value)
        except AttributeError:
            raise ParameterError("function", function, "must be a function that takes attributes") from None
        return function

    return decorate


def space_of(function: object) -> Space:
    """Return the search space of a function decorated with `args`, or of what describes one.

    Raises
    ------
    ParameterError
        It is not decorated.
    """
    space = getattr(function, "space", None)
    if not isinstance(space, Space):
        rule = "has no search space: decorate it with @hbsim.args(lr=hbsim.Real(1e-3, 1e-1, log=True), ...)"
        raise ParameterError("function", getattr(function, "__name__", function), rule)
    return space


def arguments(function: object, configuration: Mapping[str, object]) -> Args:
    """Return the arguments of one run of a function decorated with `args`.

    Parameters
    ----------
    function : callable
        The training function.
    configuration : mapping
        Values by name, as `Space.mapping` returns them; what it does not name keeps its default. It
        may set constants too.

    Raises
    ------
    ParameterError
        The function is not decorated, or a name is none of its arguments.
    """
    space_of(function)
    defaults: dict[str, object] = getattr(function, "defaults", {})
    for name, value in configuration.items():
        if name not in defaults:
            rule = f"is no argument of the function ({', '.join(defaults)})."
            raise ParameterError(name, value, rule + nearest(name, defaults))
    return Args(defaults | dict(configuration))


def _check_name(name: str, value: object) -> None:
    if name in _RESERVED:
        raise ParameterError(name, value, "is a method of the arguments object; choose another name")
