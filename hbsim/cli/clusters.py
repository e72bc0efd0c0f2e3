"""``hbsim clusters``: which clusters ship with hbsim, what is in them, and where their numbers come from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim import terminal
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.simulation import Cluster
    from hbsim.simulation.cluster import Machines
    from hbsim.simulation.cluster_files import ClusterFile

__all__ = ["clusters"]

WIDE: Final = 160  # columns, where stdout is no terminal


def clusters(
    cluster: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Only this one; in full.")
    ] = None,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print its file as it is: a start for one of your own.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List simulated clusters: their workers, machines and price, and where their numbers come from.

    Without a name, those that ship with hbsim: presets for the option --cluster.

    For example:
      hbsim clusters
      hbsim clusters aws-spot
      hbsim clusters aws-spot --toml
    """
    from hbsim.cli.output import print_json
    from hbsim.errors import ParameterError
    from hbsim.simulation.cluster_files import presets, read

    if as_toml and cluster is None:
        raise ParameterError("as_toml", True, "needs the name of a cluster")
    found = [read(name) for name in (presets() if cluster is None else [cluster])]
    if as_toml:
        print_out(found[0].text, end="")
    elif as_json:
        print_json({"clusters": [_content(one) for one in found]})
    elif cluster is None:
        _show_all(found)
    else:
        _show_one(found[0])


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


def _show_all(found: list[ClusterFile]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("name", "workers", "machines", "an hour", "what"):
        table.add_column(heading, justify="right" if heading in ("workers", "an hour") else "left")
    for one in found:
        made = one.make()
        kinds = ", ".join(f"{kind.count} {kind.kind}" for kind in made.machines)
        table.add_row(one.source, f"{made.workers:,}", kinds or "-", _price(made), one.about.description)
    console = terminal.console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)


def _show_one(one: ClusterFile) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, text in _lines(one):
        table.add_row(name, Text(text))
    console = terminal.console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)


def _lines(one: ClusterFile) -> Iterator[tuple[str, str]]:
    from hbsim.toml_files import shown

    made = one.make()
    yield "name", one.source
    if one.about.description:
        yield "what", one.about.description
    yield "workers", f"{made.workers:,}"
    for place, kind in enumerate(made.machines):
        yield "" if place else "machines", _machines(kind)
    if made.is_priced:
        yield "price an hour", _price(made)
    parameters = made.as_dict()
    for name in one.fields:
        if name not in ("workers", "machines"):
            yield name, shown(parameters[name]).strip('"')
    for heading, texts in (("from", one.about.source), ("assumed", one.about.assumptions)):
        for place, text in enumerate(texts):
            yield "" if place else heading, text


def _machines(kind: Machines) -> str:
    parts = [f"{kind.gpus} GPUs"] if kind.gpus > 1 else []
    parts += [f"speed {kind.speed:g}"] if kind.speed != 1 else []
    parts += [f"{kind.price:.10g} an hour each"] if kind.price else []
    more = f" ({', '.join(parts)})" if parts else ""
    return f"{kind.count:,} of {kind.kind}{more}"


def _price(made: Cluster) -> str:
    return f"{math.fsum(made.prices):,.2f}" if made.is_priced else "-"
