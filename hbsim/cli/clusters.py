"""The command ``hbsim clusters``: lists the clusters of hbsim, and the sources of their numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.output import facts, print_json, table, wide_console
from hbsim.errors import ParameterError
from hbsim.simulation.cluster_files import presets, read
from hbsim.terminal import print_out
from hbsim.toml_files import shown

if TYPE_CHECKING:
    from hbsim.simulation.cluster import Cluster, Machines
    from hbsim.simulation.cluster_files import ClusterFile

WIDTH: Final = 160  # columns, where stdout is no terminal


def clusters(
    cluster: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Describe this cluster in full.")
    ] = None,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print the file of the cluster, as a start for your own.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List simulated clusters, and where their numbers come from.

    Without a name, it lists the clusters that ship with hbsim. A name or a file is a value of `--cluster`. A
    file of your own is checked. An hour is the price of an hour of all machines.

    For example:
      hbsim clusters
      hbsim clusters aws-spot --toml
    """
    if as_toml and cluster is None:
        raise ParameterError("as_toml", True, "needs the name of a cluster")
    found = [read(name) for name in (presets() if cluster is None else [cluster])]
    if as_toml:
        print_out(found[0].text, end="")
    elif as_json:
        print_json({"clusters": [_content(one) for one in found]})
    elif cluster is None:
        headings = ("name", "workers", "machines", "an hour", "what")
        left = ("name", "machines", "what")
        wide_console(WIDTH).print(table(headings, map(_row, found), left))
    else:
        wide_console(WIDTH).print(facts(_lines(found[0])))


def _content(one: ClusterFile) -> dict[str, object]:
    made = one.make()
    return {
        "name": one.source,
        **one.about.model_dump(),
        "workers": made.workers,
        "machines": made.count_machines,
        "price_per_hour": math.fsum(made.prices) if made.is_priced else None,
        "parameters": made.as_dict(),
    }


def _row(one: ClusterFile) -> tuple[str, ...]:
    made = one.make()
    kinds = ", ".join(f"{kind.count} {kind.kind}" for kind in made.machines)
    return one.source, f"{made.workers:,}", kinds or "-", _price(made), one.about.description


def _lines(one: ClusterFile) -> Iterator[tuple[str, str]]:
    made = one.make()
    yield "name", one.source
    if one.about.description:
        yield "what", one.about.description
    yield "workers", f"{made.workers:,}"
    for number, kind in enumerate(made.machines):
        yield "" if number else "machines", _machines(kind)
    if made.is_priced:
        yield "price an hour", _price(made)
    parameters = made.as_dict()
    for name in one.fields:
        if name not in ("workers", "machines"):
            yield name, shown(parameters[name]).strip('"')
    for heading, texts in (("from", one.about.source), ("assumed", one.about.assumptions)):
        for number, text in enumerate(texts):
            yield "" if number else heading, text


def _machines(kind: Machines) -> str:
    parts = [f"{kind.gpus} GPUs"] if kind.gpus > 1 else []
    parts += [f"speed {kind.speed:g}"] if kind.speed != 1 else []
    parts += [f"{kind.price:.10g} an hour each"] if kind.price else []
    more = f" ({', '.join(parts)})" if parts else ""
    return f"{kind.count:,} of {kind.kind}{more}"


def _price(made: Cluster) -> str:
    return f"{math.fsum(made.prices):,.2f}" if made.is_priced else "-"
