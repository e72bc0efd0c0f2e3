"""The page of the API, made from `hbsim.__all__` by ``python -m tests.names_page``; a test holds it."""

from __future__ import annotations

from pathlib import Path

import hbsim

API_PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.md"
# The sections of the API's page; a name that is in none comes last.
SECTIONS = {
    "Plan, simulate and compare": (
        *("plan", "make_scheduler", "simulate", "compare", "sweep", "load_sweep"),
        *("Cluster", "Result", "Sweep"),
    ),
    "Run for real": (
        *("run", "record", "load", "RunResult", "SimulatedResult", "Callback", "Hosts", "Dask", "Command"),
    ),
    "In a training function or a script": ("args", "report", "checkpoint_dir"),
    "Search spaces": ("Space", "Real", "Int", "Choice", "Bool", "List", "Dict", "obj", "func"),
    "AutoTorch's classes": ("HyperbandScheduler", "FIFOScheduler", "Task", "save", "done"),
}
NO_MEMBERS = (
    "Command",
    "Real",
    "Int",
    "Choice",
    "Bool",
    "FIFOScheduler",
)  # of use to hbsim itself, or inherited
MEMBERS = {"Cluster": "[from_file, as_dict]", **dict.fromkeys(NO_MEMBERS, "false")}
API_HEAD = """# Python API: `import hbsim`

The names of `import hbsim`, with their signatures and docstrings. The [documentation's site](../README.md)
shows them; this file has the names only. [The parts](api-parts.md) are the names of `hbsim.core`,
`hbsim.surrogates`, `hbsim.searchers`, `hbsim.validation` and `hbsim.errors`.

These names stay as they are. Names that are on neither page may change from one version to the next.
"""


def api_page() -> str:
    """Return the page from which the site makes the reference of the API."""
    left = sorted(set(hbsim.__all__) - {name for names in SECTIONS.values() for name in names})
    parts = [API_HEAD]
    for title, names in {**SECTIONS, "Further names": left}.items():
        if found := [name for name in names if name in hbsim.__all__]:
            parts.append(f"## {title}\n")
        for name in found:
            options = f"    options:\n      members: {MEMBERS[name]}\n" if name in MEMBERS else ""
            parts.append(f"::: hbsim.{name}\n{options}")
    return "\n".join(parts)


if __name__ == "__main__":
    API_PAGE.write_text(api_page(), "utf-8")
