"""Descriptions by which other processes load a training function: by its module, by its file, or pickled.

A file is executed only for its definitions: execution ends where the file would start a study.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.machinery
import importlib.util
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

from hbsim.core.space import Space, space_of
from hbsim.errors import HbsimError, ParameterError, nearest
from hbsim.executors.command import Command
from hbsim.ranks import VARIABLE
from hbsim.source import source_spec

_loading = False
Function = Callable[..., object]


class DefinitionsOnly(BaseException):
    """Raised to end a file's execution where it would start a study; no Exception, lest code catches it."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions of a file.

    Attributes
    ----------
    module : ModuleType
        The file as a module.
    stopped : bool
        Whether its execution ended where it started a study.
    """

    module: ModuleType
    stopped: bool


def loading() -> bool:
    """Return whether a file is being executed for its definitions only."""
    return _loading


def stop_if_loading() -> None:
    """End the execution of a file that is executed for its definitions; functions that start studies call it.

    Raises
    ------
    DefinitionsOnly
        If a file is being executed for its definitions.
    ParameterError
        If the file is executed again for another rank of a trial.
    """
    if _loading:
        raise DefinitionsOnly
    if VARIABLE in os.environ:
        from hbsim.executors.rank_failure import refuse_rank

        refuse_rank()


@contextmanager
def definitions_only() -> Iterator[None]:
    """Prevent code in this block from starting a study."""
    global _loading
    outer, _loading = _loading, True
    try:
        yield
    finally:
        _loading = outer


def file_spec(path: Path) -> importlib.machinery.ModuleSpec:
    """Return the spec of a file as a module with the file's name, or another name if that is taken."""
    name = path.stem
    other = sys.modules.get(name)
    if other is not None and getattr(other, "__file__", None) != str(path):
        name = f"{name}_of_study"
    spec = source_spec(name, path)
    if spec is None:
        raise ParameterError("train", str(path), "must be a Python file")
    return spec


def execute(spec: importlib.machinery.ModuleSpec, label: str) -> Definitions:
    """Execute a module anew, and enter it into `sys.modules`.

    Parameters
    ----------
    spec : ModuleSpec
        The module's spec.
    label : str
        The training function's name for errors.

    Raises
    ------
    ParameterError
        The module raises an error; with its line.
    """
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    before, stopped = sys.modules.get(spec.name), False
    sys.modules[spec.name] = module  # dataclasses and pickling look a module up by its name
    try:
        with definitions_only(), redirect_stdout(sys.stderr):  # stdout is only for results
            spec.loader.exec_module(module)
    except DefinitionsOnly:
        stopped = True
    except (Exception, SystemExit) as error:
        _put_back(spec.name, before)
        rule = f"the file must load without an error; {_describe(error, spec.origin)}"
        raise ParameterError("train", label, rule) from error
    parent, _, child = spec.name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return Definitions(module, stopped)


def _put_back(name: str, module: ModuleType | None) -> None:
    if module is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = module


def _describe(error: BaseException, origin: str | None) -> str:
    """Return the error and the innermost line of the file, in one line."""
    text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin]
    return f"{text} (line {lines[-1]})" if lines else text


@dataclass(frozen=True, slots=True)
class FunctionDescription:
    """The properties of a training function that a study needs, in a form for other processes.

    Attributes
    ----------
    label : str
        ``FILE.py:NAME`` without the folder.
    digest : str or None
        SHA-256 of the function's file, if it has one.
    space : Space
        The function's search space.
    defaults : mapping
        The default values of its arguments, by name; other processes get only the names.
    files : str
        The names of a command's files, as in messages; empty for a function.
    """

    label: str
    digest: str | None
    space: Space
    defaults: Mapping[str, object]
    files: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the description in plain JSON types."""
        names = list(self.defaults)
        return {"label": self.label, "digest": self.digest, "space": self.space.to_json(), "names": names}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FunctionDescription:
        """Return the description that `as_dict` has written."""
        space = Space.from_json(data["space"])
        return cls(data["label"], data["digest"], space, dict.fromkeys(data["names"]))


def describe(function: Function) -> FunctionDescription:
    """Describe a function that is decorated with `hbsim.args`, or a command."""
    if isinstance(function, Command):
        about = (function.command, function.digest(), function.space, function.defaults)
        return FunctionDescription(*about, " or ".join(function.files()))
    label, digest = _name(function), None
    try:
        file = Path(str(inspect.getsourcefile(inspect.unwrap(function))))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        label = f"{file.name}:{label}"
    except (TypeError, OSError):
        pass
    return FunctionDescription(label, digest, space_of(function), getattr(function, "defaults", {}))


def default_start() -> str:
    """Return the default way to start trials' processes on this system: ``"fork"`` or ``"spawn"``.

    Forking is only safe on Linux: the system libraries of macOS may start threads at any time.
    """
    return "fork" if sys.platform == "linux" else "spawn"


def make_target(train: Function | str, by_value: bool = False) -> dict[str, Any]:
    """Describe a training function so that another process can load it.

    Parameters
    ----------
    train : callable or str
        A function decorated with `hbsim.args`, a `Command`, or ``FILE.py:NAME``.
    by_value : bool
        Whether a function of the running script is pickled by value, if that is possible; else the script is
        executed again, until it would start a study. Only for processes of the same Python.

    Returns
    -------
    target : dict
        Plain JSON types. ``name`` with one of ``module``, if the function can be imported by name; ``file``,
        if it is defined at the top level of a file, such as a script; ``pickled``, the function by value with
        all that it uses of the script, for closures and notebooks. Of a
        command ``command`` and ``files``. Also ``path`` and ``argv``, this process's
        `sys.path` and `sys.argv`, and ``main``, whether the function belongs to the running script.

    Raises
    ------
    ParameterError
        The file does not exist, or the function has no search space or cannot be described in any way.
    """
    if isinstance(train, Command):
        form: dict[str, Any] = {"command": train.to_json(), "files": train.files(), "label": train.command}
    elif isinstance(train, str):
        file, name = split_target(train)
        form = {"file": str(file), "name": name, "label": train}
    elif callable(train):
        _space(train, label_of({"name": _name(train)}))
        form = _of_script(train) if by_value and _is_main(train) else _by_name(train) or _by_value(train)
    else:
        raise ParameterError("train", train, "must be a function decorated with @hbsim.args, or FILE.py:NAME")
    about = {"path": _absolute(sys.path), "argv": list(sys.argv), "main": _is_main(train)}
    return {**form, **about}


def load_target(target: Mapping[str, Any]) -> Function:
    """Load the function that `make_target` has described.

    `sys.path` and `sys.argv` become those of the process that described it, with the file's folder in front.
    A file is executed under its own name, never as ``__main__``, and only until it starts a study.

    Raises
    ------
    ParameterError
        The file raises, or does not define the function, or the function has no search space.
    """
    if _absolute(sys.path) != target["path"]:
        sys.path[:] = target["path"]
    sys.argv[:] = target["argv"]
    if "command" in target:
        return Command.from_json(target["command"])
    label = label_of(target)
    if "pickled" in target:
        function = _unpickle(target["pickled"], label)
        if target["main"]:
            sys.modules["__main__"] = _script(function, target)
    else:
        function = _find(_definitions(target, label), target, label)
    _space(function, label)
    return function


def label_of(target: Mapping[str, Any]) -> str:
    """Return a target's name for people: as given, or ``FILE.py:NAME``, ``MODULE:NAME`` or ``NAME``."""
    if "label" in target:
        return str(target["label"])
    origin = target.get("file", target.get("module"))
    return str(target["name"] if origin is None else f"{origin}:{target['name']}")


def source_of(target: Mapping[str, Any]) -> Path | None:
    """Return the file with the function's source, None if there is none. Call it after `load_target`."""
    if "file" in target or "source" in target:
        return Path(target.get("file", target.get("source")))
    origin = getattr(sys.modules.get(target.get("module", "")), "__file__", None)
    return Path(origin) if origin else None


def split_target(target: str) -> tuple[Path, str]:
    """Split ``FILE.py:NAME`` into an existing file and a name.

    Raises
    ------
    ParameterError
        The text has not that form, or the file does not exist.
    """
    file, colon, name = target.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise ParameterError("train", target, "must be FILE.py:NAME, a Python file and a function in it")
    path = Path(file)
    if not path.is_file():
        raise ParameterError("train", target, f"there is no file {file}")
    return path.resolve(), name


# Describing


def _is_main(train: object) -> bool:
    return getattr(train, "__module__", None) == "__main__"


def _of_script(function: Function) -> dict[str, Any]:
    """Return the description by value, or by name if something that it uses cannot be pickled."""
    try:
        form = _by_value(function)
    except ParameterError as error:
        by_name = _by_name(function)
        if by_name is None:
            raise
        return {**by_name, "problem": error.rule}
    main = sys.modules["__main__"]
    file, spec = _file(main), main.__spec__
    if file is not None:
        source = str(Path(file).resolve())
        form |= {"source": source, "label": f"{source}:{form['name']}"}
    return form if spec is None else {**form, "script": spec.name}


def _by_name(function: Function) -> dict[str, Any] | None:
    """Return the description by module or file, if the function is found there by its name."""
    if getattr(function, "changed", False):
        return None  # other processes would find it as it was
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    name = _name(function)
    file = _file(module)
    if module is None or file is None or not _is_at(module, name, function):
        return None
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is not None and not _same(code.co_filename, file):
        return None  # defined interactively after the file was executed
    dotted = module.__name__
    if dotted == "__main__":
        dotted = module.__spec__.name if module.__spec__ is not None else ""
    spec = _search(dotted)
    if spec is not None and spec.origin is not None and _same(spec.origin, file):
        return {"module": dotted, "name": name}
    return {"file": str(Path(file).resolve()), "name": name}


def _by_value(function: Function) -> dict[str, Any]:
    try:
        data = pickled(function)
    except Exception as error:  # whatever the objects that it refers to raise
        rule = f"must be a function in a file, or refer to nothing that cannot be pickled; {error}"
        raise ParameterError("train", _name(function), rule) from error
    return {"pickled": data, "name": _name(function)}


def pickled(thing: object) -> str:
    """Return an object pickled, as text; by value what other processes cannot import."""
    with _whole(sys.modules.get(getattr(thing, "__module__", None) or "")), io.BytesIO() as file:
        _pickler()(file).dump(thing)
        return base64.b64encode(file.getvalue()).decode("ascii")


@cache
def _pickler() -> Any:
    """Return a class of picklers that keep the files of functions, which messages about errors name."""
    import cloudpickle

    table = cloudpickle.Pickler.dispatch_table

    def reduced(code: CodeType) -> tuple[Any, ...]:
        make, values = table[CodeType](code)
        if not os.path.isfile(code.co_filename):  # a cell of a notebook
            return make, values
        return make, tuple(code.co_filename if value == _NO_FILE else value for value in values)

    return type("Pickler", (cloudpickle.Pickler,), {"dispatch_table": table.new_child({CodeType: reduced})})


_NO_FILE: Final = "<dynamic-code>"  # what cloudpickle writes in place of the file of a function


def unpickled(text: str) -> Any:
    """Return the object that `pickled` has made a text of."""
    import cloudpickle

    with definitions_only():
        return cloudpickle.loads(base64.b64decode(text))


@contextmanager
def _whole(module: ModuleType | None) -> Iterator[None]:
    """Pickle the objects of a module by value in this block, if other processes cannot import the module."""
    import cloudpickle

    if module is None or module.__name__ == "__main__" or _search(module.__name__) is not None:
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _name(function: Function) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _file(module: ModuleType | None) -> str | None:
    file = getattr(module, "__file__", None)
    return file if file is not None and file.endswith(".py") and os.path.isfile(file) else None


def _is_at(module: ModuleType, name: str, function: Function) -> bool:
    try:
        return attrgetter(name)(module) is function
    except AttributeError:
        return False


def _search(name: str) -> importlib.machinery.ModuleSpec | None:
    """Find a module as a new process would, without the modules that are loaded in this one."""
    parent, _, _ = name.rpartition(".")
    path = None
    if parent:
        package = _search(parent)
        if package is None or package.submodule_search_locations is None:
            return None
        path = list(package.submodule_search_locations)
    for finder in sys.meta_path if name else ():
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _absolute(path: list[str]) -> list[str]:
    return [os.path.abspath(entry) for entry in path]  # "" is the working directory


# Loading


def _definitions(target: Mapping[str, Any], label: str) -> Definitions:
    if "file" in target:
        path = Path(target["file"])
        if not path.is_file():
            raise ParameterError("train", label, f"there is no file {path}")
        if str(path.parent) not in sys.path[:1]:
            sys.path.insert(0, str(path.parent))
        return execute(file_spec(path), label)
    dotted = target["module"]
    loaded = sys.modules.get(dotted)
    if loaded is not None:
        return Definitions(loaded, stopped=False)
    try:
        with definitions_only():
            spec = importlib.util.find_spec(dotted)
    except (Exception, DefinitionsOnly) as error:  # the packages that contain the module are imported
        rule = f"its package must load without an error; {type(error).__name__}: {error}"
        raise ParameterError("train", label, rule) from error
    if spec is None:
        raise ParameterError("train", label, f"there is no module {dotted} on the module path")
    return execute(spec, label)


def _find(definitions: Definitions, target: Mapping[str, Any], label: str) -> Function:
    module, name = definitions.module, target["name"]
    try:
        function: Function = attrgetter(name)(module)
    except AttributeError:
        file = Path(module.__file__ or module.__name__).name
        names = [key for key, value in vars(module).items() if callable(value)]
        rule = f"there is no {name!r} in {file}.{nearest(name, names)}"
        if definitions.stopped:
            rule = f"{file} starts a study before {name!r} is defined; define it further up"
        elif target.get("main"):
            rule = f"there is no {name!r} in {file} when it is imported; define it at the top, under no `if`"
        if "problem" in target:
            rule += f"; by value it {target['problem']}"
        raise ParameterError("train", label, rule) from None
    if not callable(function):
        raise ParameterError("train", label, f"{name} is no function")
    return function


def _unpickle(text: str, label: str) -> Function:
    try:
        function: Function = unpickled(text)
    except (Exception, DefinitionsOnly) as error:  # whatever the objects that it refers to raise
        rule = f"cannot be loaded in another process; {type(error).__name__}: {error}"
        raise ParameterError("train", label, rule) from error
    return function


def _script(function: Function, target: Mapping[str, Any]) -> ModuleType:
    """Return a module for the script, with the objects of the script that the function uses.

    Objects that a trial pickles by name, as for processes of `multiprocessing`, are found in this module;
    such a process executes the script's file, as it does for the script itself.
    """
    script = ModuleType("__main__")
    for owner in (inspect.unwrap(function), getattr(function, "func", None), type(function).__call__):
        names = getattr(owner, "__globals__", {})
        if names.get("__name__") == "__main__":
            vars(script).update(names)
            break
    if target["name"].isidentifier():
        setattr(script, target["name"], function)
    if "source" in target:
        script.__file__ = target["source"]
    if "script" in target:  # run by ``python -m``
        script.__spec__ = importlib.machinery.ModuleSpec(target["script"], None)
    return script


def _space(function: Function, label: str) -> None:
    try:
        space_of(function)
    except HbsimError as error:
        rule = (
            f"{_name(function)} needs a search space: put @hbsim.args(lr=hbsim.Real(1e-4, 1), ...) above it"
        )
        raise ParameterError("train", label, rule) from error
