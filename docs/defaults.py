"""A part of the site's API reference: signatures show an option's default in place of its declaration.

The fields of `hbsim.Cluster` and others are declared by calls, ``workers: int = option(32, help=...)``.
The options of `hbsim.make_scheduler` are `UNSET` unless given. Griffe, which reads the source, would print
these calls and names.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import griffe

from hbsim.core.options import Options
from hbsim.options import declared


class Defaults(griffe.Extension):
    """Take the defaults of dataclasses whose fields are declared by calls from the classes themselves."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Replace the values of fields that are declared by calls."""
        calls = [one for one in cls.attributes.values() if isinstance(one.value, griffe.ExprCall)]
        if not calls or not any("dataclass" in str(one.value) for one in cls.decorators):
            return
        found = getattr(importlib.import_module(cls.module.path), cls.name)
        defaults = {field.name: field.default for field in dataclasses.fields(found)}
        for one in calls:
            if defaults.get(one.name, dataclasses.MISSING) is not dataclasses.MISSING:
                one.value = repr(defaults[one.name])

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        """Replace the defaults of `make_scheduler`."""
        if func.name != "make_scheduler":
            return
        options = declared(Options)
        for one in func.parameters:
            if str(one.default) == "UNSET":
                default = options[one.name].default
                known = default is not dataclasses.MISSING and one.name not in ("n", "interval")
                one.default = repr(default) if known else None
