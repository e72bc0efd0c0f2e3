"""The page of a study: its curves, hyperparameters, workers and trials in one HTML file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import numpy as np
import polars as pl
from markupsafe import escape

from hbsim.bench.chart_style import (
    GREY,
    Chart,
    Row,
    coloured,
    data,
    digits,
    legend_below,
    log_scale,
    number,
    svg_of,
    time_unit,
)
from hbsim.bench.formatting import plural
from hbsim.bench.html_page import frame, packed, specs, template
from hbsim.bench.segments import Segments, job_segments
from hbsim.bench.study_charts import BARS, curves_beyond, training_curves, worker_chart
from hbsim.core.space import Bool, Choice, Int, Real
from hbsim.errors import needs
from hbsim.runner.summaries import rung_texts
from hbsim.study.progress_summary import amount, plain, value_text, value_texts
from hbsim.study.progress_summary import number as number_text
from hbsim.study.status import StudyStatus, TopTrial, best_resources

if TYPE_CHECKING:
    from hbsim.surrogates.protocol import Floats

BEST: Final = 5  # trials in the table of a notebook
CURVES: Final = 300  # the most trials with a learning curve, or a line over the hyperparameters
POINTS: Final = 50  # the most points of a learning curve
DOTS: Final = 1500  # the most trials in a chart of one hyperparameter
EXPLAINED: Final = 1000  # the most trials, the best, whose reasons have ranks
NO_METRIC: Final = "No metric decides in this study."
NO_NUMBER: Final = "No trial has reported a number yet."
FAILURES: Final = 200  # the most failures in the table
FEWEST: Final = 20  # the fewest trials at a level for the importance of hyperparameters
MOST: Final = 2000  # the most trials that it is computed from
BETTER: Final = "#d55e00"
WORSE: Final = "#9db7c9"
WIDTH: Final = 560
SMALL: Final = 260
FAR: Final = 3.0  # a value this many spans of the middle half away is far from all others
IMPORTANCE: Final = (
    "How much of what distinguishes the best tenth of the trials at a level is the hyperparameter's, "
    "by PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023)."
)


@dataclass(frozen=True)
class PageSection:
    """A section of the page: charts by name and label, beside each other where there are several."""

    title: str
    charts: Sequence[tuple[str, str]]
    texts: Sequence[str] = ()


def render_study(status: StudyStatus, refresh: int | None = None, every: float | None = None) -> str:
    """Return the page of a study as HTML; it holds all it needs and asks the network for nothing.

    Parameters
    ----------
    status : StudyStatus
        The study. Its texts may hold anything; they are escaped.
    refresh : int, optional
        Seconds after which a browser loads the page again.
    every : float, optional
        About how many seconds after this page the next one is written.
    """
    page = StudyPage(status)
    charts: dict[str, Chart] = {}
    sections = list(page.sections(charts))
    failures, result = status.failures(), status.result
    best = status.top(1)
    has_rungs = not result.spec.until_return and len(result.rungs())
    left = status.time_left_text
    again = "" if every is None else f", and again about every {every:.0f} s while the study runs"
    written = f"written at {datetime.now():%H:%M:%S}{again}"
    return template("study.html").render(
        title=status.summary.name(),
        counts=[
            status.state_text,
            *([f"time left {left}"] if left else []),
            status.summary.trials(),
            written,
        ],
        answer=status.summary.best() or (NO_METRIC if result.spec.metric is None else NO_NUMBER),
        configuration={plain(name): text for name, text in page.values(best[0]).items()} if best else {},
        sections=sections,
        rungs=rung_texts(result.rungs()) if has_rungs else [],
        failures=failures[:FAILURES],
        more_failures=max(0, len(failures) - FAILURES),
        trials=f"{result.scheduler.started:,}",
        data=packed({**specs(charts), "tables": [page.trial_table()]}),
        refresh=refresh,
        **frame(),
    )


def notebook(status: StudyStatus) -> str:
    """Return what a notebook shows of a study: how it stands, its best trials, and learning curves.

    The curves are an image in the text, which shows in every notebook and on every page made from one.
    """
    spec, best = status.result.spec, status.top(BEST)
    lines = [status.summary.name(), status.state_text, status.summary.trials(), status.summary.best()]
    if failures := [one for one in status.failures() if one["final"]]:
        first = failures[0]
        lines.append(f"{len(failures):,} failed: {plain(str(first['reason']))}; log: {first['log']}")
    text = "<br>".join(escape(line) for line in lines if line)
    if not best:
        return str(text)
    names = list(spec.space)
    head = ["trial", status.summary.metric, spec.time_attr, "status", *names]
    rows = [
        [one.trial, number_text(one.best), amount(one.resource), one.status]
        + [value_text(one.configuration[name]) if name in one.configuration else "" for name in names]
        for one in best
    ]
    table = "".join(f"<th>{escape(name)}</th>" for name in head)
    for row in rows:
        table += "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row)
    drawn = StudyPage(status).drawn(CURVES)
    svg = svg_of(training_curves(status.result, trials=drawn, points=POINTS))
    image = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode('ascii')}"
    return (
        f'{text}<table><tr>{table}</table><img alt="learning curves" src="{image}" style="max-width: 100%">'
    )


class StudyPage:
    """The charts and tables of a study's page."""

    def __init__(self, status: StudyStatus) -> None:
        self._status, self._result = status, status.result
        self._metric = status.summary.metric
        self._sign = 1.0 if self._result.scheduler.mode == "max" else -1.0
        self._best_trial = self._result.summary()["best_trial"]

    def values(self, best: TopTrial) -> dict[str, str]:
        """Return the values of the best trial's hyperparameters, as text."""
        return value_texts(best.configuration, self._result.changed(best.trial, best.resource))

    def sections(self, charts: dict[str, Chart]) -> Iterator[PageSection]:
        """Yield the sections, and add their charts to `charts`."""
        found = self._trials
        if len(found):
            drawn = self.drawn(CURVES)
            charts["curves"] = training_curves(self._result, trials=drawn, points=POINTS)
            beyond = curves_beyond(self._result, drawn, POINTS)
            text = f"Vertical lines are the rung levels.{self._of(CURVES)}"
            yield PageSection(
                "Learning curves",
                [("curves", "learning curves")],
                [f"{text} {beyond}; these are not drawn." if beyond else text],
            )
        if len(found) > 1 and self._varied:
            charts["parallel"] = self._parallel()
            text = f"A line a trial; the redder, the better its {self._metric}."
            text += self._of(CURVES) + self._beyond(self.drawn(CURVES), self._ends[0], "drawn at its end")
            yield PageSection("Hyperparameters", [("parallel", "parallel coordinates")], [text])
            yield self._importance(charts)
            names = list(self._varied)
            for place, name in enumerate(names):
                charts[f"slice{place}"] = self._slice(name)
            text = f"The best {self._metric} of each trial; the redder, the further it came.{self._of(DOTS)}"
            worst = self._slice_ends[0 if self._sign > 0 else 1]
            text += self._beyond(self.drawn(DOTS), worst, "not drawn")
            slices = [(f"slice{place}", f"slice of {name}") for place, name in enumerate(names)]
            yield PageSection("Slices", slices, [text])
        if not self._result.spec.until_return and (parts := self._segments()) is not None:
            charts["workers"] = _timeline(parts)
            yield PageSection(
                "Workers", [("workers", "timeline of workers")], ["By the level they train towards."]
            )

    @cached_property
    def _trials(self) -> pl.DataFrame:
        """The trials that reported a number: trial, status, best, reached, place of each in the unit cube."""
        trials = self._result.trials.filter(pl.col("best").is_not_null())
        return trials.select("trial", "status", "best", "reached")

    @cached_property
    def _points(self) -> Floats:
        """The configurations of all trials, shape (n, d), in the unit cube; NaN where not active."""
        space = self._result.spec.space
        points = np.array(self._result.journal_state.points, dtype=np.float64).reshape(-1, space.dimension)
        points = np.array(space.settled(points)) if len(points) else points
        return np.where(space.active(points), points, np.nan)

    @cached_property
    def _varied(self) -> dict[str, int]:
        """The hyperparameters that may have several values, and their coordinates."""
        parameters = self._result.spec.space.parameters
        return {
            name: place
            for place, (name, one) in enumerate(parameters.items())
            if not (isinstance(one, Choice) and len(one.choices) < 2)
        }

    def drawn(self, most: int) -> list[int]:
        """Return the trials to draw: all, or the best quarter of `most` and others evenly."""
        trials = self._trials.sort(self._sign * pl.col("best"), descending=True)["trial"].to_list()
        if len(trials) <= most:
            return trials
        rest = sorted(trials[most // 4 :])
        evenly = np.linspace(0, len(rest) - 1, most - most // 4).astype(int)
        return [*trials[: most // 4], *(rest[place] for place in evenly)]

    def _of(self, most: int) -> str:
        """Say that a chart leaves trials out, if it does."""
        count = len(self._trials)
        return (
            ""
            if count <= most
            else f" {most:,} of {count:,} trials: the best {most // 4:,}, and others evenly."
        )

    def _beyond(self, drawn: list[int], worst: float, how: str) -> str:
        """Say how many trials are worse than the end of an axis, and how they are drawn, if there are any."""
        values = self._trials.filter(pl.col("trial").is_in(drawn))["best"]
        count = int((self._sign * values < self._sign * worst).sum())
        side = "below" if self._sign > 0 else "above"
        is_one = count == 1
        text = f"{plural(count, 'trial')} {'is' if is_one else 'are'} beyond the axis"
        what = f"{'it is' if is_one else 'they are'} {how}"
        return f" {text}, with a {self._metric} {side} {number_text(worst)}; {what}." if count else ""

    @cached_property
    def _slice_ends(self) -> tuple[float, float]:
        """The least and the greatest value on the axis of a slice."""
        low, high = sorted(self._ends)
        margin = 0.05 * (high - low) or abs(high) * 0.05 or 1.0
        return low - margin, high + margin

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """The worst value that is not far from all others, and the best."""
        signed = self._sign * self._trials["best"].to_numpy()
        low, high = np.quantile(signed, (0.25, 0.75))
        inside = signed[signed >= low - FAR * (high - low)]
        return float(self._sign * inside.min()), float(self._sign * inside.max())

    # Hyperparameters

    def _parallel(self) -> Chart:
        """Return a chart with an axis for each hyperparameter and one for the value, and a line a trial."""
        worst, best = self._ends
        names, values = [*self._varied, self._metric], dict(self._trials.select("trial", "best").iter_rows())
        axes = {name: f"{place}" for place, name in enumerate(names)}
        rows: list[Row] = []
        for trial in reversed(self.drawn(CURVES)):
            value = values[trial]
            height = float(np.clip((value - worst) / (best - worst), 0, 1)) if best != worst else 0.5
            places = [*(float(self._points[trial, at]) for at in self._varied.values()), height]
            rows += [
                {"trial": trial, "axis": axes[name], "place": round(place, 4), "value": digits(value)}
                for name, place in zip(names, places, strict=True)
                if place == place
            ]
        labels = [
            {"axis": axes[name], "place": place, "label": text}
            for name in self._varied
            for place, text in self._ticks(name)
        ]
        bound = ""
        if any(self._sign * value < self._sign * worst for value in values.values()):
            bound = "≤ " if self._sign > 0 else "≥ "  # the worst value on the axis stands for worse ones
        labels += [
            {"axis": axes[self._metric], "place": place, "label": text}
            for place, text in ((0.0, f"{bound}{number_text(worst)}"), (1.0, number_text(best)))
        ]
        order = list(axes.values())
        shown = "{" + ", ".join(f"'{place}': {_js(name)}" for name, place in axes.items()) + "}[datum.value]"
        x = alt.X(
            "axis:N",
            sort=order,
            scale=alt.Scale(type="point", padding=0.35, domain=order),
            axis=alt.Axis(
                labelExpr=shown,
                labelAngle=0,
                labelLimit=120,
                labelOverlap=False,
                title=None,
                orient="top",
                grid=True,
            ),
        )
        y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.06, 1.06], nice=False))
        colour = alt.Color(
            "value:Q",
            scale=alt.Scale(domain=[worst, best], range=[WORSE, BETTER], clamp=True),
            legend=alt.Legend(
                title=self._metric,
                gradientLength=160,
                values=list(dict.fromkeys(np.linspace(worst, best, 5).tolist())),
                labelExpr=f"(datum.value == {worst!r} ? '{bound}' : '') + format(datum.value, '.4~g')",
            ),
        )
        base = alt.Chart(data(rows)).encode(x=x, y=y, detail="trial:N", order="axis:Q", color=colour)
        hover = alt.selection_point(name="hover", on="pointerover", clear="pointerout", fields=["trial"])
        faint = max(0.15, min(0.7, 60 / max(1, len(self._trials))))
        tip = [alt.Tooltip("trial:Q"), number("value")]
        lines = base.mark_line(strokeWidth=1.4).encode(
            opacity=alt.condition(hover, alt.value(faint), alt.value(0.05)), tooltip=tip
        )
        top = base.transform_filter(f"datum.trial == {self._best_trial}").mark_line(strokeWidth=3)
        text = alt.Chart(data(labels)).mark_text(fontSize=11, fontWeight="bold", dx=4, align="left")
        layers = [lines.add_params(hover), top, text.encode(x=x, y=y, text="label:N")]
        # Narrow windows scroll: the names of the axes need room.
        return alt.layer(*layers).properties(width=WIDTH, height=300, usermeta={"least": 84 * len(names)})

    def _ticks(self, name: str) -> Iterator[tuple[float, str]]:
        """Yield places on a hyperparameter's axis, and the values there."""
        parameter = self._result.spec.space[name]
        if isinstance(parameter, Choice):
            count = len(parameter.choices)
            for place, value in enumerate(parameter.choices):
                yield (place + 0.5) / count, _short(value)
        elif isinstance(parameter, Bool):
            yield from ((0.25, "False"), (0.75, "True"))
        elif isinstance(parameter, Real | Int):
            yield from ((0.0, _short(parameter.low)), (1.0, _short(parameter.high)))

    def _slice(self, name: str) -> Chart:
        """Return the value of each trial over a hyperparameter."""
        parameter, at = self._result.spec.space[name], self._varied[name]
        levels = [f"{level:g}" for level in self._result.scheduler.levels]
        reached = np.searchsorted(
            self._result.scheduler.levels, self._trials["reached"].to_numpy(), side="right"
        )
        which = dict(zip(self._trials["trial"].to_list(), reached.tolist(), strict=True))
        values = dict(self._trials.select("trial", "best").iter_rows())
        active = [trial for trial in self.drawn(DOTS) if self._points[trial, at] == self._points[trial, at]]
        names = [f"below {levels[0]}", *(f"reached {level}" for level in levels)]
        shown = [names[index] for index in sorted({which[trial] for trial in active})]
        rows: list[Row] = [
            {
                "trial": trial,
                "x": self._plain(trial, name),
                "value": digits(values[trial]),
                "reached": names[which[trial]],
            }
            for trial in active
        ]
        y = alt.Y(
            "value:Q",
            title=self._metric,
            scale=alt.Scale(domain=list(self._slice_ends), nice=False, zero=False),
            axis=alt.Axis(format="~g", tickCount=5),
        )
        if isinstance(parameter, Real | Int):
            along: dict[str, Any] = (
                log_scale(parameter.low, parameter.high)
                if parameter.log
                else {
                    "scale": alt.Scale(
                        domain=[parameter.low, parameter.high], nice=False, zero=False, padding=6
                    )
                }
            )
            along.setdefault("axis", alt.Axis(format="~g", tickCount=5))
            x = alt.X("x:Q", title=plain(name), **along)
        else:
            order = [text for _, text in self._ticks(name)]
            x = alt.X("x:N", title=plain(name), sort=order, axis=alt.Axis(labelAngle=0, labelLimit=90))
        colours = dict(zip(names, [GREY, *_ramp(len(levels))], strict=True))
        points = alt.Chart(data(rows)).mark_circle(size=26, opacity=0.75, clip=True)
        encoded = points.encode(
            x=x,
            y=y,
            color=coloured("reached:N", {one: colours[one] for one in shown}, legend_below(shown, SMALL)),
            tooltip=[alt.Tooltip("trial:Q"), alt.Tooltip("x", title=plain(name)), number("value")],
        )
        if isinstance(parameter, Choice | Bool):
            encoded = encoded.encode(xOffset=alt.XOffset("jitter:Q", scale=alt.Scale(domain=[-1.6, 1.6])))
            encoded = encoded.transform_calculate(jitter="((datum.trial * 0.618) % 1) * 2 - 1")
        return alt.layer(encoded).properties(width=SMALL, height=180)

    def _plain(self, trial: int, name: str) -> object:
        value = self._result.configuration(trial)[name]
        return value if isinstance(self._result.spec.space[name], Real | Int) else _short(value)

    def _importance(self, charts: dict[str, Chart]) -> PageSection:
        title = "Importance of hyperparameters"
        try:
            found = self._importances()
        except ImportError:
            return PageSection(title, [], [f"It {needs('optuna', 'search')}."])
        if not found:
            text = f"It is computed once {FEWEST} trials with different values have come to a level."
            return PageSection(title, [], [text])
        last = [name for name, _, level in found if level == found[-1][2]]
        sums = {name: sum(share for one, share, _ in found if one == name) for name in last}
        order = sorted(sums, key=lambda name: -sums[name])
        levels = list(dict.fromkeys(level for _, _, level in found))
        rows: list[Row] = [
            {"name": plain(name), "importance": digits(share), "level": level} for name, share, level in found
        ]
        bars = (
            alt.Chart(data(rows))
            .mark_bar()
            .encode(
                x=alt.X(
                    "importance:Q",
                    title="importance",
                    scale=alt.Scale(domainMin=0),
                    axis=alt.Axis(format="~g"),
                ),
                y=alt.Y(
                    "name:N", title=None, sort=[plain(name) for name in order], axis=alt.Axis(ticks=False)
                ),
                yOffset=alt.YOffset("level:N", sort=levels),
                color=coloured(
                    "level:N",
                    dict(zip(levels, _ramp(len(levels)), strict=True)),
                    legend_below(levels, WIDTH),
                ),
                tooltip=[alt.Tooltip("name:N"), alt.Tooltip("level:N"), number("importance")],
            )
        )
        height = len(order) * max(18, 10 * len(levels) + 6)
        charts["importance"] = alt.layer(bars).properties(width=WIDTH, height=height)
        return PageSection(title, [("importance", "importance of hyperparameters")], [IMPORTANCE])

    def _importances(self) -> list[tuple[str, float, str]]:
        """Return the importance of hyperparameters at each level with enough trials: name, share, level."""
        from hbsim.searchers.optuna_study import importances

        rows = self._result.decision_table.rows()
        found = []
        for at, level in enumerate(self._result.scheduler.levels):
            mine = rows[(rows["at"] == at) & np.isfinite(rows["value"])][-MOST:]
            if len(mine) < FEWEST or np.ptp(mine["value"]) == 0:
                continue
            points = np.array(self._result.journal_state.points)[mine["trial"]]
            shares = importances(self._result.spec.space, points, mine["value"], self._result.scheduler.mode)
            found += [
                (name, share, f"at {level:g}") for name, share in shares.items() if name in self._varied
            ]
        return found

    # Workers

    def _segments(self) -> Segments | None:
        """Return what the workers did, with the jobs that run now; None before the first job."""
        result, now = self._result, self._status.elapsed
        running = [
            {
                "job": run.job,
                "trial": run.trial,
                "attempt": run.attempt,
                "bracket": run.bracket,
                "worker": run.worker,
                "start_resource": run.start_resource,
                "stop_resource": run.resource,
                "start_time": run.start_time,
                "train_start": run.train_start if run.train_start < now else now,
                "end_time": now,
                "value": None,
                "verdict": "continue",
            }
            for run in result.journal_state.runs.values()
        ]
        jobs = pl.concat([result.jobs, pl.DataFrame(running, schema=result.jobs.schema)])
        if jobs.is_empty():
            return None
        end = max(result.end_time, now if running else 0.0)
        return job_segments(jobs, result.decisions, result.scheduler, result.workers, end)

    # Trials

    def trial_table(self) -> str:
        """Return a table of all trials as HTML, the best first, with why each stopped, paused or went on."""
        result = self._result
        several, names = result.scheduler.brackets > 1, list(result.spec.space)
        by_value = [self._sign * pl.col("best"), -pl.col("trial")]
        trials = result.trials.sort(by_value, descending=True, nulls_last=True)
        head = ["trial", *(["bracket"] if several else []), "status", f"best {self._metric}"]
        head += [f"at {plain(result.spec.time_attr)}", "reached"]
        at = best_resources(result, self._trials)
        numeric = {name for name in names if isinstance(result.spec.space[name], Real | Int)}
        cells = [f"<th>{escape(plain(name))}</th>" for name in (*head, *names, "why")]
        made = ["<table><thead><tr>", *cells, "</tr></thead><tbody>"]
        reasons = self._reasons(trials["trial"].to_list())
        for row in trials.iter_rows(named=True):
            changed = result.changed(row["trial"], at.get(row["trial"], inf))
            values = value_texts(result.configuration(row["trial"]), changed)
            why = reasons.get(row["trial"], "")
            status = "interrupted" if row["status"] == "running" and self._status.over else row["status"]
            value = "" if row["best"] is None else number_text(row["best"])
            reached = "" if row["reached"] is None else amount(row["reached"])
            texts = [(str(row["trial"]), "number")]
            texts += [(str(row["bracket"]), "number")] if several else []
            best_at = amount(at[row["trial"]]) if row["trial"] in at else ""
            texts += [(status, "status"), (value, "number"), (best_at, "number"), (reached, "number")]
            texts += [(values.get(name, ""), "number" if name in numeric else "") for name in names]
            made.append("<tr>")
            made += [_table_cell(text, kind) for text, kind in texts]
            made += [_table_cell(why, "long"), "</tr>"]
        return "".join([*made, "</tbody></table>"])

    def _reasons(self, trials: Sequence[int]) -> dict[int, str]:
        """Say why each trial stopped, paused or went on last; with its rank, which costs, for the first."""
        if self._result.spec.until_return:
            return {}
        reasons = {}
        last = self._result.decisions.unique("trial", keep="last", maintain_order=True)
        for row in last.iter_rows(named=True):
            value = "no number" if row["value"] is None else f"{row['value']:g}"
            cutoff = "" if row["cutoff"] is None else f", against a cutoff of {row['cutoff']:g}"
            came = (
                f"Trial {row['trial']} (bracket {row['bracket']}) came to level {row['level']:g} with {value}"
            )
            reasons[row["trial"]] = f"{came}, {row['n_before']:,} before it{cutoff}: {row['verdict']}."
        return reasons | {trial: self._result.scheduler.explain(trial).text for trial in trials[:EXPLAINED]}


def _table_cell(text: str, kind: str) -> str:
    of = f' class="{kind}"' if kind else ""
    return f"<td{of}>{escape(text)}</td>"


def _timeline(parts: Segments) -> Chart:
    """Return the timeline of workers, in a unit that fits; if it is long, a picture of a fixed width."""
    unit, length = time_unit(parts.end_time)
    chart = worker_chart(parts.in_units(length), f"{unit} of the study", cut="interrupted")
    return chart.properties(usermeta={"fit": "none"}) if len(parts.start) > BARS else chart


def _short(value: object) -> str:
    text = value_text(value)
    return text if len(text) <= 16 else f"{text[:13]}..."


def _ramp(count: int) -> list[str]:
    """Return colours from `WORSE` to `BETTER`, which are seen on light and on dark grounds."""
    ends = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (WORSE, BETTER)]
    mixed = [
        np.linspace(low, high, max(2, count)).round().astype(int) for low, high in zip(*ends, strict=True)
    ]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in zip(*mixed, strict=True)][-count:]


def _js(text: str) -> str:
    """Return a text as a string of Vega's expressions."""
    import json

    return json.dumps(plain(text))
