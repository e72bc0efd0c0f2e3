"""The cells of a sweep's file, made with plain loops: a double of `hbsim.bench.sweep.plan`."""

from __future__ import annotations

import itertools
import re
import warnings
from typing import Any

import numpy as np

from hbsim.core import make_scheduler
from hbsim.core.options import TYPES
from hbsim.errors import HbsimWarning
from hbsim.surrogates import load
from hbsim.surrogates.description import sample

LIMITS = ("num_trials", "max_time", "max_full_runs", "replace", "searcher")


class Refused(Exception):
    """What the file says cannot be."""


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def is_like(pattern: str, name: str) -> bool:
    spelled = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)
    return pattern == name or re.fullmatch(spelled, name, re.DOTALL) is not None


def has(where: dict[str, Any], cell: dict[str, Any]) -> bool:
    for field, wanted in where.items():
        if field in ("workers", "seed"):
            if cell[field] not in listed(wanted):
                return False
        elif not any(is_like(pattern, cell[field]) for pattern in listed(wanted)):
            return False
    return True


def over(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    low = dict(low)
    if "max_time" in high or "max_full_runs" in high:
        low.pop("max_time", None)
        low.pop("max_full_runs", None)
    return {**low, **high}


def variants(content: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for one in content["variants"]:
        own = {name: value for name, value in one.items() if name not in ("type", "name", "vary")}
        vary = one.get("vary", {})
        for values in itertools.product(*vary.values()):
            varied = dict(zip(vary, values, strict=True))
            said = varied if "name" in one else {**own, **varied}
            name = ",".join([one.get("name", one["type"]), *(f"{k}={v}" for k, v in said.items())])
            found.append((name, one["type"], {**own, **varied}))
    return found


def clusters(content: dict[str, Any]) -> list[tuple[str, list[int]]]:
    top = listed(content.get("workers", 32))
    found = []
    for one in content.get("clusters") or [{"name": "plain"}]:
        if "workers" in one:
            found.append((one["name"], listed(one["workers"])))
        elif "machines" in one:
            found.append((one["name"], [sum(kind["count"] * kind["gpus"] for kind in one["machines"])]))
        else:
            found.append((one["name"], [len(one["speed"])] if "speed" in one else top))
    return found


def seeds(content: dict[str, Any]) -> list[int]:
    seeds = content.get("seeds", 100)
    if isinstance(seeds, dict):
        return [seeds["first"] + number for number in range(seeds["count"])]
    return seeds if isinstance(seeds, list) else list(range(seeds))


def full_run(text: str, max_t: float) -> float:
    curves = load(text)
    _, seconds = curves.evaluate(sample(curves, 1000, 0), np.array([float(max_t)]))
    return float(np.mean(seconds))


def axes(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all cells, one loop an axis; raise where a name is there twice."""
    schedulers, places, numbers = variants(content), clusters(content), seeds(content)
    names = ([v[0] for v in schedulers], [s["name"] for s in content["surrogates"]], [c[0] for c in places])
    if any(len(set(some)) < len(some) for some in names):
        raise Refused
    found = []
    for seed in numbers:
        for curves in content["surrogates"]:
            for cluster, sizes in places:
                for workers in sizes:
                    for name, type, own in schedulers:
                        cell = {"variant": name, "surrogate": curves["name"], "cluster": cluster}
                        cell |= {"workers": workers, "seed": seed, "type": type, "own": own, "curves": curves}
                        found.append(cell)
    return found


def check(where: dict[str, Any], everything: list[dict[str, Any]], seeds: list[int]) -> None:
    """Raise where a table is about nothing, or a name or a number in it is."""
    for field, wanted in where.items():
        for item in listed(wanted):
            if not any(has({field: item}, cell) for cell in everything):
                raise Refused
    if not any(has({**where, "seed": seeds}, cell) for cell in everything):
        raise Refused


def settle(cell: dict[str, Any], content: dict[str, Any]) -> None:
    """Say what a cell runs with."""
    own = {name: value for name, value in cell["curves"].items() if name not in ("surrogate", "name")}
    merged = over(content["defaults"], own)
    for one in content.get("override", []):
        if has(one["where"], cell):
            merged = over(merged, one["set"])
    max_t = merged.get("max_t", 9)
    cell["max_time"] = merged.get("max_time")
    if "max_full_runs" in merged:
        cell["max_time"] = merged["max_full_runs"] * full_run(cell["curves"]["surrogate"], max_t)
    has_rows = not cell["curves"]["surrogate"].startswith("synthetic")
    cell["replace"] = has_rows and merged.get("replace", False)
    cell["searcher"] = merged.get("searcher")
    options = {name: value for name, value in merged.items() if name not in LIMITS}
    options |= {"num_trials": merged["num_trials"], "max_t": max_t}
    taken = {name: value for name, value in options.items() if name in TYPES[cell["type"]]}
    cell["options"] = {**taken, **cell["own"]}


def cells(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Expand a file; raise where it must be refused."""
    everything = axes(content)
    include, exclude = content.get("include", []), content.get("exclude", [])
    for where in (*include, *exclude, *(one["where"] for one in content.get("override", []))):
        check(where, everything, seeds(content))
    found = []
    for cell in everything:
        included = not include or any(has(one, cell) for one in include)
        if included and not any(has(one, cell) for one in exclude):
            settle(cell, content)
            found.append(cell)
    if not found:
        raise Refused
    return joined(content, found)


def inputs(cell: dict[str, Any]) -> str:
    """Return all that a cell depends on; of brackets those that fit, of which there are 3 at most here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)  # of brackets that do not fit
        scheduler = make_scheduler(cell["type"], mode="min", **cell["options"])
    fits = {name: getattr(scheduler, name) for name in ("brackets",) if name in TYPES[cell["type"]]}
    rest = [cell[name] for name in ("curves", "cluster", "workers", "seed", "max_time", "replace")]
    return repr(
        (cell["type"], sorted({**scheduler.options.as_dict(), **fits}.items()), cell["searcher"], rest)
    )


def joined(content: dict[str, Any], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out variants that are the same as an earlier one in all their cells, and name that after both."""
    known = {
        name: [inputs(cell) for cell in found if cell["variant"] == name] for name, *_ in variants(content)
    }
    names: dict[str, list[str]] = {}
    for name, cells_ in known.items():
        first = next((one for one in names if known[one] == cells_), name) if cells_ else name
        names.setdefault(first, []).append(name)
    return [{**cell, "variant": called(names[cell["variant"]])} for cell in found if cell["variant"] in names]


def called(names: list[str]) -> str:
    first, *others = names
    if not others:
        return first
    said = []
    for other in others:
        parts = [part for part in other.split(",")[1:] if part not in first.split(",")]
        said.append(",".join(parts) if other.split(",")[0] == first.split(",")[0] and parts else other)
    return f"{first} (= {', '.join(said)})"
