"""What `validate` found, as tables of text, as plain types and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hbsim.validation.check import PARTS, Check
from hbsim.validation.validate import OTHER_RUN, Validated, Validation

__all__ = ["Table", "as_dict", "cluster_call", "cluster_toml", "markdown", "order_lines", "tables"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text: a title, columns, rows; the first `texts` columns are no numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int


def as_dict(validation: Validation) -> dict[str, object]:
    """Return everything in plain types."""
    return {
        "cluster": validation.cluster(),
        "cluster_call": cluster_call(validation),
        "observations": validation.costs.observations(),
        "runs": [_run(part) for part in validation.runs],
    }


def _run(part: Validated) -> dict[str, object]:
    run, result = part.run, part.run.result
    decisions = len(result.decisions)
    return {
        "name": run.name,
        "folder": str(result.folder),
        "train": result.spec.train,
        "scheduler": dict(result.spec.scheduler),
        "workers": result.workers,
        "trials": result.scheduler.started,
        "jobs": len(run.stays),
        "seconds": result.end_time,
        "why": result.why,
        "recorded_order": {"decisions": decisions, "same": decisions},
        "cluster": part.costs.cluster_options(result.workers),
        "observations": part.costs.observations(),
        "notes": list(part.notes),
        "checks": [check.as_dict() for check in part.checks],
    }


def cluster_call(validation: Validation) -> str:
    """Return the measured cluster as it is written in Python: ``hbsim.Cluster(...)``."""
    options = ", ".join(f"{name}={value!r}" for name, value in validation.cluster().items())
    return f"hbsim.Cluster({options})"


def cluster_toml(validation: Validation) -> str:
    """Return the measured cluster as a file of `hbsim.Cluster.from_file`, with a comment a parameter."""
    from hbsim.toml_files import to_toml

    counts, comments = validation.costs.observations(), {}
    for name, (_, what) in MEANING.items():
        said = f"from {counts[name]:,} {what}"
        comments[name] = said if counts[name] else f"{said}: the default"
    if validation.costs.straggler_std.value:
        comments["straggler_std"] += "; curves recorded in these runs have it in their seconds: 0 for them"
    about = {
        "description": "Measured by hbsim validate from real runs",
        "source": [_run_line(part) for part in validation.runs],
    }
    return to_toml({**validation.cluster(), "about": about}, comments)


def order_lines(validation: Validation) -> list[str]:
    """Return a line a run: what it was, how its decisions agree in the recorded order, and its notes.

    They all agree: where one does not, reading the run is an error that names the line of its journal.
    """
    lines = []
    for part in validation.runs:
        count = len(part.run.result.decisions)
        lines.append(f"{_run_line(part)}; {count:,} of {count:,} decisions agree in the recorded order")
        lines += [f"{part.run.name}: {note}" for note in part.notes]
    if len({part.run.result.spec.train for part in validation.runs}) > 1:
        lines.append("these are different training functions: the cluster of all runs is a mixture")
    return lines


def _run_line(part: Validated) -> str:
    result = part.run.result
    what = f"{result.spec.scheduler['type']} of {result.spec.train}"
    scale = f"{_count(result.workers, 'worker')}, {_count(result.scheduler.started, 'trial')}"
    return f"{part.run.name}: {what}, {scale}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def tables(validation: Validation) -> list[Table]:
    """Return the checks, where the workers' time went, and the cluster."""
    columns = (
        "run",
        "parameters",
        "same",
        "only real",
        "only sim.",
        "unseen",
        "real s",
        "predicted s",
        "error",
    )
    checks = [_check_row(part, check) for part in validation.runs for check in part.checks]
    times = [row for part in validation.runs for row in _time_rows(part)]
    return [
        Table("Free running: decisions, and makespan in seconds", columns, checks, texts=2),
        Table("Where the workers' seconds went", ("run", "parameters", *PARTS, "busy"), times, texts=2),
        _cluster_table(validation),
    ]


def _label(check: Check) -> str:
    return f"seconds of {check.seconds_from}" if check.kind == OTHER_RUN else check.kind


def _check_row(part: Validated, check: Check) -> list[str]:
    agreement = check.agreement
    return [
        part.run.name if check is part.checks[0] else "",
        _label(check),
        f"{agreement.same:,} of {agreement.common:,}",
        f"{agreement.real - agreement.common:,}",
        f"{agreement.simulated - agreement.common:,}",
        f"{agreement.unobserved:,}",
        _seconds(check.real),
        _seconds(check.simulated),
        "" if check.error is None else f"{check.error:+.1%}",
    ]


def _time_rows(part: Validated) -> list[list[str]]:
    own, rows = part.checks[0], []
    kinds = {"real": own.real_parts}
    kinds |= {f"simulated, {_label(check)}": check.simulated_parts for check in part.checks}
    for kind, parts in kinds.items():
        cells = [_seconds(parts[name]) for name in PARTS]
        rows.append([part.run.name if kind == "real" else "", kind, *cells, f"{own.busy(parts):.1%}"])
    return rows


def _seconds(value: float) -> str:
    if value < 0.0005:
        return "0"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


MEANING: Final = {
    "startup": ("seconds", "jobs"),
    "report_delay": ("seconds", "milestones"),
    "save": ("seconds", "jobs that saved"),
    "load": ("seconds", "jobs that loaded"),
    "straggler_std": ("of 1 + |z|", "stretches between levels"),
    "drop_rate": ("a second", "failures"),
    "resume": ("", "jobs of trials that went on"),
}


def _cluster_table(validation: Validation) -> Table:
    options, counts = validation.costs.options(), validation.costs.observations()
    rows = []
    for name, (unit, what) in MEANING.items():
        value = options[name]
        text = str(value) if isinstance(value, bool) else f"{value:.6g}"
        rows.append([name, f"{text} {unit}".strip(), f"{counts[name]:,} {what}"])
    return Table("The cluster, measured from all runs", ("parameter", "value", "from"), rows, texts=3)


def markdown(validation: Validation) -> str:
    """Return everything as Markdown."""
    parts = ["\n".join(f"- {line}" for line in order_lines(validation))]
    for table in tables(validation):
        lines = [table.columns, [("---" if i < table.texts else "---:") for i in range(len(table.columns))]]
        rows = [*lines, *table.rows]
        text = "\n".join(
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows
        )
        parts.append(f"## {table.title}\n\n{text}")
    parts.append(f"```text\n{cluster_call(validation)}\n```")
    return "\n\n".join(parts) + "\n"
