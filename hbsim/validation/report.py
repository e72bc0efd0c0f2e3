"""The report of a validation: tables, files and charts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hbsim.validation.measure import RecordedRun
from hbsim.validation.validate import OTHER_RUN, PARTS, Prediction, RunValidation, Validation

if TYPE_CHECKING:
    from hbsim.bench.chart_style import Chart
    from hbsim.bench.segments import Segments


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of text: a title, columns, rows; the first `texts` columns are not numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int


def as_dict(validation: Validation) -> dict[str, object]:
    """Return the whole validation in plain types."""
    return {
        "cluster": validation.cluster(),
        "cluster_call": cluster_call(validation),
        "observations": validation.costs.observations(),
        "runs": [_run(part) for part in validation.runs],
    }


def _run(part: RunValidation) -> dict[str, object]:
    run, result = part.run, part.run.result
    decisions = len(result.decisions)
    return {
        "name": run.name,
        "folder": str(result.folder),
        "train": result.spec.train,
        "scheduler": dict(result.spec.scheduler),
        "workers": result.workers,
        "trials": result.scheduler.started,
        "jobs": len(run.jobs),
        "seconds": result.end_time,
        "why": None if result.why is None else result.why.value,
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


def _run_line(part: RunValidation) -> str:
    result = part.run.result
    what = f"{result.spec.scheduler['type']} of {result.spec.train}"
    scale = f"{_count(result.workers, 'worker')}, {_count(result.scheduler.started, 'trial')}"
    return f"{part.run.name}: {what}, {scale}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def tables(validation: Validation) -> list[TextTable]:
    """Return the tables of checks, of the workers' time, and of the cluster."""
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
        TextTable("Free running: decisions, and makespan in seconds", columns, checks, texts=2),
        TextTable("Where the workers' seconds went", ("run", "parameters", *PARTS, "busy"), times, texts=2),
        _cluster_table(validation),
    ]


def _label(check: Prediction) -> str:
    return f"seconds of {check.seconds_from}" if check.kind == OTHER_RUN else check.kind


def _check_row(part: RunValidation, check: Prediction) -> list[str]:
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


def _time_rows(part: RunValidation) -> list[list[str]]:
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


def _cluster_table(validation: Validation) -> TextTable:
    options, counts = validation.costs.options(), validation.costs.observations()
    rows = []
    for name, (unit, what) in MEANING.items():
        value = options[name]
        text = str(value) if isinstance(value, bool) else f"{value:.6g}"
        rows.append([name, f"{text} {unit}".strip(), f"{counts[name]:,} {what}"])
    return TextTable("The cluster, measured from all runs", ("parameter", "value", "from"), rows, texts=3)


def markdown(validation: Validation) -> str:
    """Return the whole validation as Markdown."""
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


def write(validation: Validation, folder: Path, head: Mapping[str, object] | None = None) -> None:
    """Write the cluster, twice, and validation.json, validation.md and a timeline a run.

    Parameters
    ----------
    validation : Validation
        The validation.
    folder : path
        The folder to write to, which must exist.
    head : mapping, optional
        Further content of validation.json: how it was made.
    """
    _write_json(folder / "cluster.json", validation.cluster())
    (folder / "cluster.toml").write_text(cluster_toml(validation), "utf-8")
    content = {"schema": 1, **(head or {}), **as_dict(validation)}
    _write_json(folder / "validation.json", content)
    (folder / "validation.md").write_text(markdown(validation), "utf-8")
    draw(validation, folder)


def draw(validation: Validation, folder: Path) -> list[Path]:
    """Draw the timelines: timeline.png of one run, timeline-NAME.png of several."""
    from hbsim.bench.chart_style import save

    paths: list[Path] = []
    for place, part in enumerate(validation.runs):
        name = Path(part.run.name).name
        path = folder / ("timeline.png" if len(validation.runs) == 1 else f"timeline-{name}.png")
        if path in paths:  # two folders of the same name
            path = folder / f"timeline-{name}-{place}.png"
        save(timelines(part.run, part.calibrated), path)
        paths.append(path)
    return paths


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n", "utf-8")


def _plain(content: object) -> object:
    """Return the same with null for numbers that are not finite."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_plain(value) for value in content]
    return content


KEPT: Final = ("failed", "censored")


def timelines(run: RecordedRun, check: Prediction) -> Chart:
    """Return a real run's timeline above that of its simulation.

    Parameters
    ----------
    run : RecordedRun
        The run.
    check : Prediction
        One of it.
    """
    import altair as alt

    from hbsim.bench.segments import segments
    from hbsim.bench.study_charts import worker_chart

    real, simulated = real_segments(run), segments(check.result)
    end = max(real.end_time, simulated.end_time) or 1.0
    error = "" if check.error is None else f" ({check.error:+.1%})"
    above = worker_chart(real, None, end).properties(title=f"real, {real.end_time:.4g} s")
    below = worker_chart(simulated, "seconds", end).properties(
        title=f"simulated, {simulated.end_time:.4g} s{error}"
    )
    heading = alt.TitleParams(
        "A real run and its simulation: workers over time, by the level they train towards",
        subtitle=_line(run, check),
    )
    return alt.vconcat(above, below, title=heading, spacing=12).resolve_scale(color="shared")


def real_segments(run: RecordedRun) -> Segments:
    """Split the jobs of a real run at their milestones; after the last one a process saves, and exits."""
    import polars as pl

    from hbsim.bench.segments import job_segments

    result = run.result
    cut = pl.col("verdict").is_in(KEPT)
    loads = pl.Series([job.load for job in run.jobs], dtype=pl.Float64)  # within the function
    jobs = result.jobs.with_columns(
        train_start=pl.col("train_start") + loads,
        verdict=pl.when(cut).then("verdict").otherwise(pl.lit("pause")),
    )
    return job_segments(jobs, result.decisions, result.scheduler, result.workers, result.end_time)


def _line(run: RecordedRun, check: Prediction) -> str:
    spec, agreement = run.result.spec, check.agreement
    same = f"{agreement.same:,} of {agreement.common:,} decisions the same"
    parts = [f"{spec.scheduler['type']} of {spec.train}", f"{run.result.scheduler.started:,} trials", same]
    return ", ".join([*parts, f"parameters: {check.kind}"])
