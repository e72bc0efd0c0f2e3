"""The report of a plan: what matters most, its tables, its charts and its page."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from hbsim.bench.formatting import percent, plural, time_unit
from hbsim.planning.forecast import Forecast, Range
from hbsim.planning.recommend import FAR, Standing
from hbsim.validation.report import TextTable

if TYPE_CHECKING:
    from hbsim.bench.chart_style import Chart
    from hbsim.planning.pilot import Pilot
    from hbsim.planning.plan import Plan

MANY_DIVERGED: Final = 0.5  # the share of a pilot's curves from which on the plan says so first
LEAST_STARTUP: Final = 0.01  # of a full run, from which on the plan tells to give it
UNITLESS: Final = "full runs"  # the unit of time where nothing says how many seconds a unit takes


# Numbers as text


def _number(value: float) -> str:
    """Return a number in three digits: 2,720, 0.36."""
    if not math.isfinite(value) or not value:
        return "0" if not value else "-"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def ranged(found: Range, unit: str = "") -> str:
    """Return a median with its interval: ``2,720 (2,220 to 3,050)``."""
    if math.isnan(found.median):
        return ""
    return f"{_number(found.median)}{unit} ({_number(found.low)} to {_number(found.high)})"


def counted(found: Range) -> str:
    """Return a median and an interval of whole numbers."""
    low, high = math.ceil(found.low - 1e-9), math.floor(found.high + 1e-9)
    return ranged(Range(max(0, low), round(found.median), high))


def shares(found: Range) -> str:
    """Return a median and an interval of shares, in per cent."""
    return f"{percent(found.median)} ({percent(found.low)} to {percent(found.high)})"


class Clock:
    """Formats times of a plan: seconds, or full runs."""

    def __init__(self, plan: Plan) -> None:
        self.is_known = plan.setting.unit_seconds is not None

    def unit(self, seconds: float) -> tuple[str, float]:
        """Return the unit that suits a time, and its length."""
        return time_unit(seconds) if self.is_known else (UNITLESS, 1.0)

    def text(self, seconds: float) -> str:
        """Return a time: ``1.5 h``."""
        unit, length = self.unit(seconds)
        return f"{_number(seconds / length)} {unit}"

    def ranged(self, found: Range, end: float) -> str:
        """Return a median and its interval; a time after the end is not in the forecast."""
        if math.isinf(found.median):
            return (
                "not by the end" if math.isinf(found.low) else f"not by the end (from {self.text(found.low)})"
            )
        unit, length = self.unit(found.median)
        high = "after the end" if found.high > end else _number(found.high / length)
        return f"{_number(found.median / length)} {unit} ({_number(found.low / length)} to {high})"


# What is said


def headline(plan: Plan) -> list[str]:
    """Return what matters most, in sentences: whether there will be a full result, and what to run."""
    clock, chosen = Clock(plan), plan.recommended_forecast
    end, label, default = clock.text(chosen.max_time), plan.recommended.label, plan.shortlist[0].label
    none = 1.0 - chosen.any_full_result
    where = "the simulated studies with the costs of your pilot" if plan.pilot else "the library's studies"
    first = chosen.ranges["first_full_result"]
    if none >= 0.005:
        text = f"{label} shows no full result within {end} in {percent(none)} of {where}."
    else:
        text = f"{label} shows a full result within {end} in all of {where}."
    lines = [f"{text} The first one: {clock.ranged(first, chosen.max_time)}."]
    pilot = plan.pilot
    if pilot is not None and (lost := int(pilot.diverged.sum())) >= MANY_DIVERGED * len(pilot.ends):
        lines.insert(
            0,
            f"{lost} of {len(pilot.ends)} curves of your pilot diverged: find out why, and narrow the search "
            "space, before you spend the budget.",
        )
    best = next(one for one in plan.standings if one.variant == label)
    if best.judgement == "better":
        lines.append(f"Run {label}: it is surely better than {default} ({difference(best)}).")
    else:
        lines.append(f"Run {label}, the default: nothing on the shortlist is surely better.")
    if avoided := [one for one in plan.standings if one.judgement == "avoid"]:
        lines.append("Avoid " + ", ".join(f"{one.variant} ({difference(one)})" for one in avoided) + ".")
    return lines


def difference(one: Standing) -> str:
    """Return the difference of a variant from the default: ``regret +2.6 +- 0.6``."""
    return f"regret {one.difference:+.2f} +- {one.error:.2f}"


def facts(plan: Plan) -> list[tuple[str, str]]:
    """Return the setting and what it costs, as names and texts."""
    setting, pilot, clock = plan.setting, plan.pilot, Clock(plan)
    cluster = setting.cluster
    chosen = plan.recommended_forecast
    full = clock.text(setting.full_run) if clock.is_known else "the unit of time"
    lines = [
        (
            "budget",
            f"{setting.budget}: {clock.text(setting.max_time)} on {plural(cluster.workers, 'worker')}",
        ),
        ("full run", f"{full}, {setting.max_t:g} units of training"),
    ]
    if clock.is_known:
        lines.append(("machine hours", ranged(chosen.ranges["machine_hours"])))
    if not math.isnan(chosen.ranges["money"].median):
        lines.append(("money", ranged(chosen.ranges["money"])))
    about = "none: costs and values are those of the library's tasks, so the intervals are wide"
    if pilot is not None:
        about = f"{pilot.source}: {plural(len(pilot.ends), 'curve')}, {pilot.complete} of them complete, "
        about += f"{int(pilot.diverged.sum())} diverged; "
        about += f"a unit takes {_number(float(pilot.unit_seconds.mean()))} s"
        if pilot.last < setting.max_t:
            about += f". They end at {pilot.last:g} of {setting.max_t:g} units: costs beyond are extrapolated"
    lines.append(("pilot", about))
    simulated = f"{plural(plan.studies, 'study')} of each variant, on {plural(plan.tasks, 'task')} in "
    simulated += plural(plan.groups, "group")
    if setting.horizon < setting.max_time:
        simulated += f", up to {clock.text(setting.horizon)}; later counts go on at the same rate"
    if plan.what_if and plan.what_if_studies < plan.studies:
        simulated += f"; what-if in {plan.what_if_studies} of them"
    lines.append(("simulated", simulated))
    return lines


def forecast_table(plan: Plan) -> TextTable:
    """Return the forecasts of the shortlist as texts."""
    title = f"What {plan.setting.budget} buys on {plural(plan.setting.cluster.workers, 'worker')}"
    return TextTable(f"{title}: medians, and 80 % intervals", *_forecast_rows(plan, plan.forecasts), 1)


def what_if_table(plan: Plan) -> TextTable | None:
    """Return the forecasts of other settings as texts; None without any."""
    if not plan.what_if:
        return None
    label = plan.shortlist[0].label
    columns, rows = _forecast_rows(plan, plan.what_if)
    settings = [[str(one.workers), one.budget] for one in plan.what_if]
    rows = [[*setting, *row[1:]] for setting, row in zip(settings, rows, strict=True)]
    return TextTable(f"What if, with {label}", ["workers", "budget", *columns[1:]], rows, 0)


def _forecast_rows(plan: Plan, forecasts: Sequence[Forecast]) -> tuple[list[str], list[list[str]]]:
    clock = Clock(plan)
    cells = {
        "variant": [one.variant for one in forecasts],
        "trials": [counted(one.ranges["trials"]) for one in forecasts],
        "complete": [counted(one.ranges["completed"]) for one in forecasts],
        "first full result": [
            clock.ranged(one.ranges["first_full_result"], one.max_time) for one in forecasts
        ],
        "P(full result)": [percent(one.any_full_result) for one in forecasts],
        "busy": [shares(one.ranges["busy_share"]) for one in forecasts],
        "checkpoints": [counted(one.ranges["checkpoints"]) for one in forecasts],
        "GB": [ranged(one.ranges["disk"]) for one in forecasts],
        "machine hours": [_number(one.ranges["machine_hours"].median) for one in forecasts],
        "money": [ranged(one.ranges["money"]) for one in forecasts],
    }
    if len({one.max_time for one in forecasts} | {plan.setting.max_time}) == 1:
        del cells["machine hours"], cells["money"]  # the same for all: among the facts
    elif not clock.is_known:
        del cells["machine hours"]
    shown = {name: texts for name, texts in cells.items() if any(texts)}
    return list(shown), [list(row) for row in zip(*shown.values(), strict=True)]


def comparison_table(plan: Plan) -> TextTable:
    """Return how the variants did on the library's tasks, as texts."""
    rows = []
    for one in plan.standings:
        is_default = one.judgement == "default"
        rows.append(
            [
                one.variant,
                one.judgement,
                f"{one.regret:.2f}",
                "" if is_default else f"{one.difference:+.2f} +- {one.error:.2f}",
                "" if is_default else f"{one.better:.2f}",
                percent(one.far_off),
            ]
        )
    columns = ["variant", "", "regret", "from the default", "P(better)", f"regret above {FAR:g}"]
    title = "Regret: 0 is the best variant of a task in hindsight, 1 the median one"
    return TextTable(title, columns, rows, 2)


def correlation_table(plan: Plan) -> TextTable | None:
    """Return how well ranks at each level foretell those at the end, in the pilot; None without any."""
    if not plan.correlations:
        return None
    assert plan.pilot is not None
    rows = [
        [f"{one.level:g}", f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})", str(one.curves)]
        for one in plan.correlations
    ]
    last = plan.pilot.last
    where = (
        "in the pilot"
        if last == plan.setting.max_t
        else f"where the pilot ends (max_t: {plan.setting.max_t:g})"
    )
    return TextTable(
        f"Rank correlation of each level with {last:g}, {where}",
        ["level", "correlation", "curves"],
        rows,
        0,
    )


def tables(plan: Plan) -> list[TextTable]:
    """Return all tables that the plan has."""
    found = [forecast_table(plan), what_if_table(plan), comparison_table(plan), correlation_table(plan)]
    return [one for one in found if one is not None]


def advice(plan: Plan) -> list[str]:
    """Return what else is known of the choice: variants not told apart, and a grace period to try."""
    default = plan.shortlist[0].label
    words = {
        "leans better": "Leans better, but not surely",
        "much the same": f"Differs from {default} by less than matters",
        "not told apart": f"Not told apart from {default}",
        "leans worse": "Leans worse",
    }
    safe = [one for one in plan.standings if one.judgement != "avoid"]
    least = percent(min(one.far_off for one in safe))
    rarely = [one.variant for one in safe if percent(one.far_off) == least]
    lines = []
    for judgement, text in words.items():
        if those := [one for one in plan.standings if one.judgement == judgement]:
            is_known = judgement.startswith("leans")
            named = [f"{one.variant} ({difference(one)})" if is_known else one.variant for one in those]
            lines.append(f"{text}: {', '.join(named)}.")
    lines.append(f"Most rarely far off: {', '.join(rarely)}, in {least} of tasks.")
    if found := plan.grace_to_try:
        assert plan.pilot is not None
        first = plan.correlations[0]
        lines.append(
            f"In your pilot ranks at level {first.level:g} say little of those at {plan.pilot.last:g} "
            f"(correlation {first.value:.2f}, {first.low:.2f} to {first.high:.2f}); at level {found.level:g} "
            f"they do ({found.value:.2f}, {found.low:.2f} to {found.high:.2f}). "
            f"Try grace_period={found.level:g}. To test it:"
        )
        lines += commands_to_test(plan)
    elif plan.pilot is not None and not plan.correlations:
        lines.append(_why_no_ranks(plan.pilot))
    if plan.num_trials is not None and plan.trained is not None:
        lines.append(
            f"With {plural(plan.num_trials, 'trial')} the whole study, to its last promotion, trains for "
            f"{ranged(plan.trained)} full runs."
        )
    if plan.pilot is not None and (line := _startup_to_give(plan, plan.pilot)):
        lines.append(line)
    return lines


def _why_no_ranks(pilot: Pilot) -> str:
    """Return why a pilot has no rank correlations."""
    if pilot.selected and pilot.kind == "study":
        return "The pilot's curves were stopped by their values, so they say nothing of ranks."
    if pilot.selected:
        return "Some of the pilot's curves end early, perhaps by their values, so they say nothing of ranks."
    return "The pilot has too few complete curves to say whether early ranks mislead."


def _startup_to_give(plan: Plan, pilot: Pilot) -> str:
    """Return the sentence on a start-up that the pilot's study had and the plan's cluster has not."""
    cluster = plan.setting.cluster
    if cluster.startup or pilot.startup < LEAST_STARTUP * plan.setting.full_run:
        return ""
    seconds = f"{pilot.startup:.3g}"
    return (
        f"Each job of the pilot's study took {seconds} s besides training, which this plan leaves out: "
        f"give --startup {seconds}."
    )


def commands_to_test(plan: Plan) -> list[str]:
    """Return the commands that test the grace period to try on the pilot's curves; none without one."""
    pilot, setting, found = plan.pilot, plan.setting, plan.grace_to_try
    if pilot is None or found is None:
        return []
    curves, commands = pilot.source, []
    of_metric = ["--metric", pilot.metric, "--mode", pilot.mode]
    if pilot.kind != "table":
        curves = "curves.parquet"
        makes = ["record", "--from"] if pilot.kind == "study" else ["surrogates", "import"]
        commands.append(shlex.join(["hbsim", *makes, pilot.source, *of_metric, "--out", curves]))
    words = ["hbsim", "compare", "--variant", "promotion"]
    words += ["--variant", f"promotion,grace_period={found.level:g}"]
    words += ["--max-t", f"{pilot.last:g}"]
    words += ["--workers", str(setting.cluster.workers)]
    full_runs = setting.horizon * max(setting.cluster.speeds) / setting.full_run
    words += ["--max-full-runs", f"{full_runs:.3g}", "--surrogate", curves, *of_metric, "--replace"]
    if (pilot.ends < len(pilot.levels)).any():
        words += ["--censored", "extrapolate"]
    return [*commands, shlex.join(words)]


def unknown(plan: Plan) -> list[str]:
    """Return what the plan does not know, and why."""
    where = f"{plural(plan.studies, 'simulated study')} on tasks of {plural(plan.groups, 'group')}"
    lines = [
        f"Intervals are 80 %: they hold four in five of {where}. One task in five lies outside.",
        "Nobody can know which variant is best on your task before there are curves of it: good variants "
        "differ less from each other than each of them differs from task to task. Ten curves do not tell "
        "it, either.",
    ]
    if plan.pilot is None:
        lines.append(
            "The intervals are wide, because costs and the share of diverged runs are unknown. Ten curves of "
            "your task narrow them: hbsim record makes such a pilot."
        )
    return lines


# As plain types


def as_dict(plan: Plan) -> dict[str, object]:
    """Return the plan in plain types."""
    setting, found = plan.setting, plan.grace_to_try
    return {
        "setting": {
            "max_t": setting.max_t,
            "grace_period": setting.grace_period,
            "budget": str(setting.budget),
            "max_time": setting.max_time,
            "unit_seconds": setting.unit_seconds,
            "cluster": setting.cluster.as_dict(),
        },
        "pilot": _pilot(plan),
        "simulated": {"studies": plan.studies, "tasks": plan.tasks, "groups": plan.groups},
        "interval": 0.8,
        "time_unit": UNITLESS if setting.unit_seconds is None else "s",
        "forecast": [forecast_as_dict(one) for one in plan.forecasts],
        "what_if": [forecast_as_dict(one) for one in plan.what_if],
        "comparison": plan.comparison.to_dicts(),
        "recommended": plan.recommended.label,
        "avoid": [one.variant for one in plan.standings if one.judgement == "avoid"],
        "grace_period_to_try": None if found is None else found.level,
        "test": commands_to_test(plan),
        "run": plan.run_options(),
        "said": [*headline(plan), *advice(plan), *unknown(plan)],
    }


def _pilot(plan: Plan) -> dict[str, object] | None:
    pilot = plan.pilot
    if pilot is None:
        return None
    return {
        "source": pilot.source,
        "metric": pilot.metric,
        "mode": pilot.mode,
        "curves": len(pilot.ends),
        "complete": pilot.complete,
        "diverged": int(pilot.diverged.sum()),
        "last_level": pilot.last,
        "startup": pilot.startup,
        "unit_seconds": float(pilot.unit_seconds.mean()),
        "rank_correlations": [
            {"level": one.level, "curves": one.curves, "value": one.value, "low": one.low, "high": one.high}
            for one in plan.correlations
        ],
    }


def forecast_as_dict(one: Forecast) -> dict[str, object]:
    """Return a forecast; a first full result that comes after the end is null."""
    ranges = {
        name: {end: _plain(getattr(found, end)) for end in ("low", "median", "high")}
        for name, found in one.ranges.items()
        if not math.isnan(found.median)
    }
    return {
        "variant": one.variant,
        "workers": one.workers,
        "budget": one.budget,
        "max_time": one.max_time,
        "any_full_result": one.any_full_result,
        **ranges,
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


# Charts


WIDTH: Final = 560


def charts(plan: Plan) -> dict[str, Chart]:
    """Return the charts of a plan by name: full results, and trials, over time, by workers."""
    shown = _shown(plan)
    titles = {
        "completed": ("When full results come", "trials that are complete"),
        "started": ("What the budget buys", "trials that have started"),
    }
    return {name: _over_time(plan, shown, name, *texts) for name, texts in titles.items()}


def _shown(plan: Plan) -> dict[str, Forecast]:
    """Return the forecasts of the default by label: by workers, and by budget where these differ."""
    found = {(one.workers, one.budget): one for one in [plan.forecasts[0], *plan.what_if]}
    budgets = {budget for _, budget in found}
    workers = {count for count, _ in found}
    longest: dict[int, Forecast] = {}
    for one in found.values():  # of one number of workers the longest budget has the others in it
        if one.workers not in longest or one.max_time > longest[one.workers].max_time:
            longest[one.workers] = one
    ordered = [longest[count] for count in sorted(workers)]
    if len(budgets) == 1:
        return {plural(one.workers, "worker"): one for one in ordered}
    return {f"{plural(one.workers, 'worker')}, {one.budget}": one for one in ordered}


def _over_time(plan: Plan, shown: dict[str, Forecast], name: str, title: str, y_title: str) -> Chart:
    import altair as alt

    from hbsim.bench.chart_style import COLOURS, HOVER, coloured, data, legend_below, number
    from hbsim.bench.chart_style import time_unit as axis_unit

    end = max(one.max_time for one in shown.values())
    unit, length = axis_unit(end) if plan.setting.unit_seconds is not None else (UNITLESS, 1.0)
    rows: list[dict[str, object]] = []
    for label, one in shown.items():
        table = getattr(one, name)
        for at, time in enumerate(one.times):
            low, median, high = (float(value) for value in table[:, at])
            rows.append({"of": label, "time": time / length, "low": low, "median": median, "high": high})
    colours = {label: COLOURS[at % len(COLOURS)] for at, label in enumerate(shown)}
    legend = legend_below(list(shown), WIDTH, symbolType="stroke", symbolSize=260)
    x = alt.X("time:Q", title=f"{unit} of the study", scale=alt.Scale(domain=[0, end / length], nice=False))
    top = max(float(row["high"]) for row in rows)  # type: ignore[arg-type]
    scale = alt.Scale(domain=[0, max(1.0, top)], nice=True)
    axis = alt.Axis(format=",.4~r", tickCount=6)
    y = alt.Y("median:Q", title=y_title, scale=scale, axis=axis)
    shape: Any = "step-after" if name == "completed" else "linear"
    base = alt.Chart(data(rows))
    colour = coloured("of:N", colours, legend)
    band = base.mark_area(opacity=0.16, clip=True, interpolate=shape).encode(
        x=x, y=alt.Y("low:Q", title=y_title, scale=scale, axis=axis), y2="high:Q", color=colour
    )
    line = base.mark_line(strokeWidth=2, clip=True, interpolate=shape).encode(x=x, y=y, color=colour)
    tips = [alt.Tooltip("of:N", title="with"), *(number(one) for one in ("time", "low", "median", "high"))]
    hover = base.mark_point(**HOVER).encode(x=x, y=y, tooltip=tips)
    about = f"{plan.shortlist[0].label}: medians, and bands of 80 %"
    return alt.layer(band, line, hover).properties(
        width=WIDTH, height=230, title=alt.TitleParams(title, subtitle=about)
    )


def chart(plan: Plan) -> Chart:
    """Return both charts, one below the other."""
    import altair as alt

    made: Chart = alt.vconcat(*charts(plan).values()).resolve_scale(color="independent")
    return made


# HTML


def page(plan: Plan, commands: Sequence[str] = ()) -> str:
    """Return the page of a plan as HTML; it holds all it needs and asks the network for nothing."""
    from hbsim.bench.html_page import frame, packed, specs, template

    made = charts(plan)
    labels = {
        "completed": "complete trials over time, by workers",
        "started": "started trials over time, by workers",
    }
    setting = plan.setting
    workers = plural(setting.cluster.workers, "worker")
    return template("plan.html").render(
        title=f"Plan: {setting.budget} on {workers}, max_t {setting.max_t:g}",
        answer=headline(plan),
        facts=facts(plan),
        charts=[(name, labels[name]) for name in made],
        tables=tables(plan),
        advice=advice(plan),
        unknown=unknown(plan),
        commands=commands,
        data=packed(specs(made)),
        **frame(),
    )


def notebook(plan: Plan) -> str:
    """Return what a notebook shows: what matters most, and the forecast."""
    table = forecast_table(plan)
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) for row in table.rows)
    lines = "<br>".join(map(escape, [*headline(plan), table.title]))
    return f"{lines}<table><tr>{head}</tr>{rows}</table>"
