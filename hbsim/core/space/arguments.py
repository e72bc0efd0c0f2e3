"""A training function's search space and constants, and the arguments of one of its runs."""

from __future__ import annotations

import functools
import inspect
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from types import MethodType
from typing import TYPE_CHECKING, Final, SupportsIndex

from hbsim.core.space.configspace import to_configspace
from hbsim.core.space.nested import Nested, value_of
from hbsim.core.space.parameters import Parameter
from hbsim.core.space.space import Space
from hbsim.errors import ParameterError, nearest

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

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


class DecoratedFunction:
    """A training function with its search space and constants: what `args` makes of a function.

    It is called as the function itself, ``train_fn(args, reporter)``. AutoTorch calls it with values
    by name: ``train_fn(train_fn.args, config)`` makes the arguments of this configuration first. If the
    reporter is left out, reports are ignored.

    Parameters
    ----------
    function : callable
        The training function, kept as ``__wrapped__``.
    values : mapping
        Parameters, nested spaces and constants by name.

    Attributes
    ----------
    kwvars : dict
        `values`.
    space : Space
        The search space.
    args : Args
        All arguments: constants, the defaults of parameters, and nested spaces themselves.
    defaults : dict
        The same as a dict.

    Raises
    ------
    ParameterError
        As in `args`.
    """

    __wrapped__: Callable[..., object]
    space: Space
    args: Args
    defaults: dict[str, object]

    def __init__(self, function: Callable[..., object], values: Mapping[str, object]) -> None:
        if isinstance(function, DecoratedFunction):
            function = function.__wrapped__
        functools.update_wrapper(self, function)
        self.kwvars: dict[str, object] = {}
        self._arrange(values)
        self._given = dict(self.defaults)

    def update(self, **values: object) -> None:  # the names are the user's own, as in `args`
        """Set arguments: parameters, nested spaces and constants; others stay as they are.

        Raises
        ------
        ParameterError
            As in `args`.
        """
        self._arrange(values)

    def _arrange(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            _check_name(name, value)
            if isinstance(value, type) and issubclass(value, Parameter | Nested):
                raise ParameterError(name, value, f"write its range or choices: {value.__name__}(...)")
        kwvars = {**self.kwvars, **values}
        space = Space({name: v for name, v in kwvars.items() if isinstance(v, Parameter | Nested)})
        initial = {name: v.initial if isinstance(v, Parameter) else v for name, v in kwvars.items()}
        self.kwvars, self.space, self.args = kwvars, space, Args(initial)
        self.defaults = vars(self.args)
        try:
            for name in ("space", "defaults"):  # of the function itself, too
                setattr(self.__wrapped__, name, getattr(self, name))
        except AttributeError:
            rule = "must be a function that takes attributes"
            raise ParameterError("function", self.__wrapped__, rule) from None

    @property
    def changed(self) -> bool:
        """Whether arguments were set after the function was decorated."""
        now, before = self.defaults, self._given
        return now.keys() != before.keys() or any(now[name] is not before[name] for name in now)

    @property
    def kwspaces(self) -> dict[str, Parameter]:
        """The parameters by name."""
        return dict(self.space.parameters)

    @property
    def cs(self) -> ConfigurationSpace:
        """The search space, as ConfigSpace has it.

        Raises
        ------
        ParameterError
            ConfigSpace is not installed, or cannot hold a parameter.
        """
        return to_configspace(self.space)

    def __call__(self, *given: object, **named: object) -> object:
        """Call the function."""
        known = inspect.signature(self.__wrapped__).parameters
        config: object = None
        if len(given) > 1 and isinstance(given[1], Mapping):
            config, given = given[1], (given[0], *given[2:])
        elif "config" in named and "config" not in known:
            config = named.pop("config")
        first = given[0] if given else named.get("args")
        values = vars(first) if isinstance(first, Namespace) else first
        if isinstance(values, Mapping):
            is_nested = any(isinstance(value, Nested) for value in values.values())
            if is_nested or config is not None:
                made = self._made(values, config or {})
                given, named = (made, *given[1:]), {n: v for n, v in named.items() if n != "args"}
        if len(given) == 1 and "reporter" in known and "reporter" not in named:
            named["reporter"] = NoReporter()
        return self.__wrapped__(*given, **named)

    def _made(self, values: Mapping[str, object], config: object) -> Args:
        """Return the arguments of a configuration; what else `values` has comes before defaults."""
        if not isinstance(config, Mapping):
            raise ParameterError("config", config, "must be a dict of values by name")
        made = arguments(self, config)
        for name, value in values.items():
            if name not in config and not isinstance(value, Nested):
                made[name] = value
        return made

    def __get__(self, instance: object, owner: object = None) -> object:
        return self if instance is None else MethodType(self.__wrapped__, instance)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[object, ...]:
        # By name where another process finds the same by this name; else by value, which cloudpickle can.
        name, home = getattr(self, "__qualname__", ""), self.__module__
        cloudpickle = sys.modules.get("cloudpickle")
        by_value: set[str] = getattr(cloudpickle, "list_registry_pickle_by_value", set)()
        try:
            is_found = attrgetter(name)(sys.modules.get(home)) is self
        except AttributeError:
            is_found = False
        by_name = is_found and home != "__main__" and home not in by_value and not self.changed
        return name if by_name else super().__reduce_ex__(protocol)


class NoReporter:
    """A reporter for a function that is called by hand: it ignores all reports, and has nothing to load."""

    def __call__(self, **metrics: object) -> None:
        """Do nothing."""

    def get_dict(self) -> dict[str, object]:
        """Return an empty dict: nothing was saved."""
        return {}

    def on_pause(self, function: Callable[..., object]) -> Callable[..., object]:
        """Return the function, which is never called."""
        return function

    def __getattr__(self, name: str) -> Callable[..., None]:  # load, save, ...
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given, **named: None


# **values, alone in this package: the names are the user's own, the arguments of the function below it.
def args(*default: object, **values: object) -> Callable[[Callable[..., object]], DecoratedFunction]:
    """Give a training function its search space and its constants.

    ::

        @hbsim.args(lr=hbsim.Real(1e-3, 1e-1, log=True), epochs=10)
        def train_fn(args, reporter): ...

    Parameters
    ----------
    *default : mapping or argparse.Namespace, optional
        More of the same, which come first; ``default=`` if it is such a one, too.
    **values
        `Real`, `Int`, `Choice` and `Bool` make the search space. So do the nested spaces: `List`, `Dict`, a
        `Choice` of spaces, and what `obj` decorates. Anything else is a constant.

    Returns
    -------
    decorator
        Makes a `DecoratedFunction` of a function. It is called and pickled as the function itself. It has the
        attributes ``space``, a `Space`, and ``defaults``, a dict of all arguments: constants, the
        parameters' defaults, and nested spaces.

    Raises
    ------
    ParameterError
        A name is that of a method of `Args`, a parameter is a class and not an object, two parameters have
        the same name, or what is decorated cannot have attributes.
    """
    named = values.get("default")
    if not default and isinstance(named, Mapping | Namespace) and not isinstance(named, Nested):
        default, values = (named,), {name: value for name, value in values.items() if name != "default"}
    first = vars(default[0]) if default and isinstance(default[0], Namespace) else (*default, {})[0]
    if len(default) > 1 or not isinstance(first, Mapping):
        rule = "needs its parameters: @hbsim.args(lr=hbsim.Real(1e-3, 1e-1, log=True), ...)"
        raise ParameterError("args", default[0], rule)
    given = {**first, **values}
    DecoratedFunction(lambda: None, given)  # errors before there is a function

    def decorate(function: Callable[..., object]) -> DecoratedFunction:
        if not callable(function):
            raise ParameterError("function", function, "must be a function")
        return DecoratedFunction(function, given)

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
        may set constants too. A nested space becomes the value that these give it, a new object each time.

    Raises
    ------
    ParameterError
        The function is not decorated, or a name is none of its arguments.
    """
    defaults: dict[str, object] = getattr(function, "defaults", {})
    space, names = space_of(function), list(defaults)
    for name, value in configuration.items():
        if name not in defaults and name not in space:
            rule = f"is no argument of the function ({', '.join(names)})."
            raise ParameterError(name, value, rule + nearest(name, [*names, *space]))
    return Args(
        {
            name: value_of(part, name, configuration) if name not in configuration else configuration[name]
            for name, part in defaults.items()
        }
    )


def _check_name(name: str, value: object) -> None:
    if name in _RESERVED:
        raise ParameterError(name, value, "is a method of the arguments object; choose another name")
