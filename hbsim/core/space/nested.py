"""Spaces of values with parts: lists, dicts, alternatives, and objects whose arguments are searched over.

Their parts become parameters of an ordinary space, named by the way to them: ``net.0``, ``optimizer.lr``. The
names are those of AutoTorch.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.core.space.parameters import Choice, Conditions, Parameter, When, conditions_of
from hbsim.errors import ParameterError, nearest

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

    from hbsim.core.space.space import Space

SELECTOR: Final = "choice"  # the last part of the name of the parameter that says which alternative it is


class Nested(ABC):
    """A space of values with parts; each part is a parameter, a nested space or a constant."""

    @property
    @abstractmethod
    def parts(self) -> dict[str, object]:
        """The parts by name, in order."""

    @abstractmethod
    def _joined(self, parts: dict[str, object]) -> object:
        """Return the value that has these values as its parts."""

    @property
    def conditions(self) -> Conditions:
        """Where the value counts; everywhere unless it says otherwise."""
        return ()

    def flat(self, prefix: str, when: Conditions) -> dict[str, Parameter]:
        """Return the parameters by their full names; `when` is added to their conditions."""
        return flat(self.parts, prefix, when)

    # **values: the names have dots in them.
    def sample(self, **values: object) -> object:
        """Return the value of a configuration: values by name, relative to this space.

        What is left out has its default.

        Raises
        ------
        ParameterError
            A name is unknown.
        """
        known = self.space
        for name, value in values.items():
            if name not in known:
                rule = f"is no parameter of the space ({', '.join(known)})."
                raise ParameterError(name, value, rule + nearest(name, known))
        return self._joined({name: value_of(part, name, values) for name, part in self.parts.items()})

    @property
    def space(self) -> Space:
        """The parameters, as an ordinary space."""
        from hbsim.core.space.space import Space

        return Space(self.flat("", ()))

    @property
    def kwspaces(self) -> dict[str, Parameter]:
        """The parameters by name."""
        return dict(self.space.parameters)

    @property
    def cs(self) -> ConfigurationSpace:
        """The parameters, as ConfigSpace has them.

        Raises
        ------
        ParameterError
            ConfigSpace is not installed, or cannot hold a parameter.
        """
        from hbsim.core.space.configspace import to_configspace

        return to_configspace(self.space)

    @property
    def default(self) -> object:
        """The value with the default of each part."""
        return self.sample()

    @property
    def rand(self) -> object:
        """A random value, another one each time; for trying things out, not for studies."""
        space = self.space
        return self.sample(**space.mapping(space.sample(1, np.random.default_rng())[0]))


def flat(parts: Mapping[str, object], prefix: str = "", when: Conditions = ()) -> dict[str, Parameter]:
    """Return all parameters among parts and inside of them, by their full names.

    Parameters
    ----------
    parts : mapping
        Parameters, nested spaces and constants by name. Conditions of a part are on other parts, or on
        parameters of the whole space by their full names.
    prefix : str
        What comes before the names.
    when : tuple
        Conditions of all of them.

    Raises
    ------
    ParameterError
        Two have the same name.
    """
    found: dict[str, Parameter] = {}
    for name, part in parts.items():
        if not isinstance(part, Parameter | Nested):
            continue
        own = [
            (prefix + parent if parent.partition(".")[0] in parts else parent, values)
            for parent, values in part.conditions
        ]
        if isinstance(part, Nested):
            inner = part.flat(f"{prefix}{name}.", (*own, *when))
        else:
            inner = {prefix + name: part.under((*own, *when)) if own or when else part}
        for same in inner.keys() & found.keys():
            raise ParameterError(same, inner[same], "there are two parameters of this name")
        found |= inner
    return found


def value_of(part: object, name: str, configuration: Mapping[str, object]) -> object:
    """Return the value of a part in a configuration, by the names of the space that the part is in."""
    if isinstance(part, Nested):
        start = f"{name}."
        inner = {n.removeprefix(start): value for n, value in configuration.items() if n.startswith(start)}
        return part._joined({n: value_of(one, n, inner) for n, one in part.parts.items()})
    return configuration.get(name, part.initial if isinstance(part, Parameter) else part)


class Attributes(dict[str, object]):
    """A dict whose items are attributes, too."""

    def __getattr__(self, name: str) -> object:  # only called for what is not there
        if name in self:
            return self[name]
        raise AttributeError(f"no item {name!r} among {', '.join(map(str, self))}.{nearest(name, self)}")


class List(list[object], Nested):
    """A list with parts that are searched over.

    Its value is a list. The parameter at index 0 of ``net=List(...)`` is ``net.0``.

    Parameters
    ----------
    *items
        Parameters, nested spaces and constants.
    """

    def __init__(self, *items: object) -> None:
        super().__init__(items)

    @property
    def parts(self) -> dict[str, object]:
        """The items by their index."""
        return {str(place): item for place, item in enumerate(self)}

    def _joined(self, parts: dict[str, object]) -> object:
        return list(parts.values())

    def __repr__(self) -> str:
        return f"List({', '.join(map(repr, self))})"


# **items: the names are the user's own.
class Dict(Attributes, Nested):
    """A dict with parts that are searched over.

    Its value is a dict whose items can be read as attributes, too. The parameter ``lr`` of
    ``optimizer=Dict(lr=...)`` is ``optimizer.lr``.

    Parameters
    ----------
    **items
        Parameters, nested spaces and constants.
    """

    def __init__(self, **items: object) -> None:
        super().__init__(items)

    @property
    def parts(self) -> dict[str, object]:
        """The items."""
        return dict(self)

    def _joined(self, parts: dict[str, object]) -> object:
        return Attributes(parts)

    def __repr__(self) -> str:
        return f"Dict({', '.join(f'{name}={item!r}' for name, item in self.items())})"


class NestedChoice(Nested):
    """One of a few alternatives, some of which are spaces: what `Choice` makes of these.

    Of ``net=Choice("small", List(...))`` the parameter ``net.choice`` is 0 or 1, the place of an alternative.
    The parameters of an alternative are active where it is chosen: ``net.1.0``.

    Parameters
    ----------
    choices : tuple
        Parameters, nested spaces and constants.
    default : object, optional
        One of them; the first unless given.
    when : mapping of str to value, optional
        As for `Parameter`.

    Raises
    ------
    ParameterError
        The default is none of the choices, or `when` is no condition.
    """

    def __init__(self, choices: tuple[object, ...], default: object, when: When = ()) -> None:
        self.choices = choices
        self._when = conditions_of(when)
        self._first = next((place for place, one in enumerate(choices) if one is default), -1)
        if self._first < 0:
            self._first = next((place for place, one in enumerate(choices) if one == default), -1)
        if self._first < 0:
            raise ParameterError("default", default, "must be one of the choices")

    @property
    def conditions(self) -> Conditions:
        """Where the choice counts."""
        return self._when

    @property
    def parts(self) -> dict[str, object]:
        """The parameter that says which alternative it is, and the alternatives by their place."""
        selector = Choice(*range(len(self.choices)), default=self._first)
        return {SELECTOR: selector, **{str(place): one for place, one in enumerate(self.choices)}}

    def flat(self, prefix: str, when: Conditions) -> dict[str, Parameter]:
        """Return the parameters by their full names; those of an alternative are active if it is chosen."""
        found: dict[str, Parameter] = {}
        for name, part in self.parts.items():
            chosen = () if name == SELECTOR else ((prefix + SELECTOR, (int(name),)),)
            found |= flat({name: part}, prefix, (*when, *chosen))
        return found

    def _joined(self, parts: dict[str, object]) -> object:
        return parts[str(parts[SELECTOR])]

    def __repr__(self) -> str:
        words = [repr(choice) for choice in self.choices]
        words += [f"default={self.choices[self._first]!r}"] if self._first else []
        return f"Choice({', '.join(words)})"


class SearchedObject(Nested):
    """An object to be made by a class or a function, with arguments that are searched over.

    Its value is what the class or function returns: it is called anew for each trial, in the trial's process.
    The parameter of its argument ``lr`` is ``optimizer.lr``, where the space is ``optimizer=``.

    Parameters
    ----------
    make : callable
        The class or the function.
    args : tuple
        Its arguments by position, constants.
    parts : mapping
        Its arguments by name: parameters, nested spaces and constants.

    Raises
    ------
    ParameterError
        A space is among the arguments by position.
    """

    def __init__(
        self, make: Callable[..., object], args: tuple[object, ...], parts: Mapping[str, object]
    ) -> None:
        for value in args:
            if isinstance(value, Parameter | Nested):
                name = getattr(make, "__name__", repr(make))
                raise ParameterError(name, value, "give the arguments that are searched over by name")
        self.make, self.args, self.kwvars = make, args, dict(parts)

    @property
    def parts(self) -> dict[str, object]:
        """The arguments by name."""
        return self.kwvars

    def init(self) -> object:
        """Return the object with the default of each argument."""
        return self.sample()

    def __call__(self, *args: object, **named: object) -> object:
        """Call the object that has the default of each argument; it is made at the first call."""
        made = self._default_object
        if not callable(made):
            raise ParameterError("obj", made, f"cannot be called: it is what {self!r} returns")
        return made(*args, **named)

    @functools.cached_property
    def _default_object(self) -> object:
        return self.sample()

    def _joined(self, parts: dict[str, object]) -> object:
        return self.make(*self.args, **parts)

    def __repr__(self) -> str:
        words = [*map(repr, self.args), *(f"{name}={part!r}" for name, part in self.kwvars.items())]
        return f"{getattr(self.make, '__name__', self.make)}({', '.join(words)})"


# **values: the names are the user's own, the arguments of the class or function below it.
def obj(**values: object) -> Callable[[Callable[..., object]], Callable[..., SearchedObject]]:
    """Give a class or a function arguments that are searched over.

    ::

        @hbsim.obj(lr=hbsim.Real(1e-3, 1e-1, log=True), momentum=0.9)
        class Optimizer: ...


        @hbsim.args(optimizer=Optimizer(), batch=hbsim.Choice(32, 64))
        def train_fn(args, reporter): ...  # args.optimizer is an Optimizer

    Parameters
    ----------
    **values
        Arguments by name: parameters, nested spaces and constants.

    Returns
    -------
    decorator
        What it returns makes a space when it is called: a `SearchedObject`. Arguments of this call come
        before those of the decorator. The class itself is ``Optimizer.__wrapped__``.
    """

    def decorate(make: Callable[..., object]) -> Callable[..., SearchedObject]:
        if not callable(make):
            raise ParameterError("obj", make, "must be a class or a function")

        @functools.wraps(make, updated=())
        def space(*args: object, **named: object) -> SearchedObject:
            return SearchedObject(make, args, {**values, **named})

        return space

    return decorate


func = obj
