"""The Python interface to studies over many seeds: `hbsim.compare`, `hbsim.sweep` and `hbsim.load_sweep`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from hbsim.bench.pool import default_jobs
from hbsim.bench.sweep.folder import CONFIRM, SweepResults, read_manifest, read_results
from hbsim.bench.sweep.plan import SweepPlan, make_plan, read_sweep
from hbsim.bench.sweep.run import run_plan
from hbsim.bench.sweep.scores import anytime
from hbsim.bench.sweep.specification import DEFAULT_SEEDS
from hbsim.bench.variants import Value, label, value_text, variant_tables
from hbsim.core.numbers import whole
from hbsim.errors import ParameterError
from hbsim.options import named_options
from hbsim.simulation import Cluster
from hbsim.study.simulate import cluster_of

if TYPE_CHECKING:
    import altair as alt

    from hbsim.bench.report.model import SweepReport, VariantStanding
    from hbsim.executors.remote.options import Dask, Hosts


@dataclass(frozen=True, repr=False)
class Sweep:
    """The result of a comparison or a sweep: its studies, and the conclusions from them.

    Attributes
    ----------
    results : SweepResults
        All tables, as the folder stores them.
    folder : path or None
        Where the results are kept; None if they are in memory only.
    matters : str or None
        The smallest difference that matters, in the metric's unit or as a percentage of the least regret.
    """

    results: SweepResults
    folder: Path | None = None
    matters: str | None = None

    def __repr__(self) -> str:
        """Return the title, how many cells are done, and the folder."""
        title, done = self.results.manifest["title"], self.results.done.height
        folder = "" if self.folder is None else f", folder {str(self.folder)!r}"
        return f"<Sweep {title!r}: {done:,} of {self.cells.height:,} cells are done{folder}>"

    @property
    def cells(self) -> pl.DataFrame:
        """A row for each study: its variant, task and seed, its status, and the numbers of its result."""
        return self.results.cells

    @property
    def incumbents(self) -> pl.DataFrame:
        """A row for each incumbent of each study, with its value at R and the simulated time."""
        return self.results.rows("incumbents")

    @cached_property
    def anytime(self) -> pl.DataFrame:
        """Normalised regret over simulated time, at 64 times that all studies of a task share."""
        return anytime(self.results.done, self.results.tables["incumbents"], self.results.manifest)

    @cached_property
    def report(self) -> SweepReport:
        """The content of the report, as plain objects."""
        from hbsim.bench.report.build import build

        folder = "DIR" if self.folder is None else str(self.folder)
        return build(self.results, f"hbsim report {shlex.quote(folder)}", folder, self.matters)

    @cached_property
    def table(self) -> pl.DataFrame:
        """A row for each variant on each task, by task and rank.

        Columns: surrogate, cluster, workers, rank, variant, seeds, missing (seeds without a score); score
        (mean normalised regret) and regret (in the metric's unit), each with ``_low`` and ``_high``; and on
        these curves and on another draw of their configurations (``curves_`` and ``draw_``, null where
        studies saw all rows): rank, call, difference from the best with its 95 % interval, and p.
        """
        rows: list[dict[str, object]] = []
        for task in self.report.tasks:
            names = {"surrogate": task.surrogate, "cluster": task.cluster, "workers": task.workers}
            for row in task.rows:
                numbers: dict[str, object] = {"rank": row.rank, "variant": row.variant, "seeds": task.seeds}
                numbers["missing"] = row.missing
                for name, mean in (("score", row.score), ("regret", row.regret)):
                    numbers |= {name: mean.mean, f"{name}_low": mean.low, f"{name}_high": mean.high}
                standings = {**_standing("curves", row.curves), **_standing("draw", row.draw)}
                rows.append({**names, **numbers, **standings})
        return pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col(pl.Float64).fill_nan(None))

    @cached_property
    def confirm(self) -> Sweep | None:
        """The studies of the leading variants on fresh seeds; None if no fresh seeds were asked for."""
        found = self.results.confirm
        return None if found is None else Sweep(found, matters=self.matters)

    def plot(self) -> alt.TopLevelMixin:
        """Return the main chart of the report; a notebook shows it, and its `save` writes it to a file.

        With several tasks it shows the mean ranks. With one it shows scores, and curves over time.

        Raises
        ------
        ParameterError
            Nothing has a score.
        """
        from hbsim.bench.charts import overview

        return overview(self.report)

    def page(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the page of the report: one HTML file that needs no network.

        Parameters
        ----------
        path : path, optional
            A file to which the page is written as well; an existing file is replaced.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        from hbsim.bench.html_page import write_page
        from hbsim.bench.page import render

        text = render(self.report)
        if path is not None:
            write_page(text, Path(path))
        return text

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows: the answer in a sentence, and the tables behind it."""
        from html import escape

        from hbsim.bench.report.render import as_html
        from hbsim.bench.report.tables import overview_table, task_table

        tables = overview_table(self.report) or [task_table(task) for task in self.report.tasks]
        return f"<p>{escape(self.report.answer)}</p>{''.join(map(as_html, tables))}"


def _standing(about: str, standing: VariantStanding | None) -> dict[str, object]:
    names = ("rank", "call", "p")
    numbers = {f"{about}_{name}": None if standing is None else getattr(standing, name) for name in names}
    difference = None if standing is None else standing.difference
    ends = {"": "mean", "_low": "low", "_high": "high"}
    return numbers | {
        f"{about}_difference{end}": None if difference is None else getattr(difference, name)
        for end, name in ends.items()
    }


@named_options
def compare(
    variants: Sequence[str | Mapping[str, Any]],
    *,
    vary: Mapping[str, Sequence[Value]] | None = None,
    surrogate: str | Mapping[str, Any] = "digits",
    workers: int | None = None,
    cluster: Cluster | str | os.PathLike[str] | None = None,
    num_trials: int | None = None,
    max_time: float | None = None,
    max_full_runs: float | None = None,
    max_t: float | None = None,
    seeds: int | range = DEFAULT_SEEDS,
    searcher: str | None = None,
    search_options: Mapping[str, Any] | None = None,
    replace: bool = False,
    halves: bool = True,
    beyond: float = 1.0,
    confirm: int | None = None,
    matters: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    executor: Hosts | Dask | None = None,
) -> Sweep:
    """Simulate variants of schedulers against each other on one task, over seeds.

    The same as ``hbsim compare``: a sweep of one task. Seed s gives trial i the same configuration, curve,
    slowness and failures under every variant, unless searchers learn, or differ. The results do not depend on
    `jobs`. A script needs no ``if __name__ == "__main__":``.

    Parameters
    ----------
    variants : sequence of str or mapping
        Each ``"TYPE[,OPTION=VALUE...]"``, as in ``"promotion,brackets=3"``; or a table of a variant as a
        sweep's file has it: ``{"type": "promotion", "brackets": 3}``.
    vary : mapping, optional
        Options and their values. Every variant that has the option and does not set it runs with each.
    surrogate : str or mapping
        Learning curves, as ``hbsim simulate --surrogate``; or a table of them, with how they are read.
    workers : int, optional
        How many workers; by default the cluster's, or 32.
    cluster : Cluster, str or path, optional
        The simulated cluster, or a preset or file of one; by default one where nothing costs time.
    num_trials : int, optional
        How many trials a study starts at most; needed unless a budget of time ends it.
    max_time, max_full_runs : float, optional
        The budget: simulated seconds, or so many times the mean seconds of a full run.
    max_t : float, optional
        R, where variants are scored; by default where the curves end.
    seeds : int or range
        How many seeds, from 0 on; or the range of seeds.
    searcher, search_options : optional
        The searcher that chooses configurations, and its options, for variants that do not set their own.
    replace : bool
        Whether a study may draw the same row of a table more than once.
    halves : bool
        Whether each study sees one half of a table's rows only, where `num_trials` is at most half of them:
        what conclusions about another draw of configurations are made from.
    beyond : float
        Simulate until so many times the budget; scores are still taken at the budget.
    confirm : int, optional
        Judge the best variant, and those not told apart from it, on so many fresh seeds alone.
    matters : str, optional
        The smallest difference that matters: ``"0.005"`` in the metric's unit, ``"10%"`` of the least regret.
    folder : path, optional
        Where results are kept and reused: with more seeds only the new ones are run.
    jobs : int, optional
        How many processes; by default one a core, 1 starts none.
    executor : Hosts or Dask, optional
        The machines that run the studies, by SSH or as a Dask cluster, whose connections must be encrypted;
        by default this one. On each host `jobs` processes are started, by default one a core.

    Returns
    -------
    Sweep
        The results, and what can be concluded.

    Raises
    ------
    ParameterError
        An argument breaks its rule, or they do not fit together; before any work starts.
    SurrogateError
        The learning curves cannot be used.
    OutputError
        The folder cannot be read or written.
    """
    made = Cluster.from_file(cluster) if isinstance(cluster, str | os.PathLike) else cluster
    numbers = {"num_trials": num_trials, "max_time": max_time, "max_full_runs": max_full_runs, "max_t": max_t}
    others = {"searcher": searcher, "search_options": dict(search_options or {}) or None}
    defaults = {name: value for name, value in {**numbers, **others}.items() if value is not None}
    if not isinstance(surrogate, str | Mapping):
        rule = "must be a text, as `hbsim.surrogates.load` takes it, or a table of a specification"
        raise ParameterError("surrogate", surrogate, rule)
    curves = {"surrogate": surrogate} if isinstance(surrogate, str) else dict(surrogate)
    chosen = seeds if isinstance(seeds, range) else range(whole("seeds", seeds, 1))
    if chosen.step != 1:
        raise ParameterError("seeds", seeds, "must be a number, or a range in steps of 1")
    content, options = specification(
        variants,
        [f"{name}={','.join(map(value_text, values))}" for name, values in (vary or {}).items()],
        curves,
        cluster_of(workers, made),
        {**defaults, **({"replace": True} if replace else {})},
        (chosen.start, len(chosen)),
        {"halves": halves, "beyond": beyond, **({} if confirm is None else {"confirm": confirm})},
    )
    return _run(make_plan(content, options), folder, jobs, executor, matters=matters)


@named_options
def sweep(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    folder: str | os.PathLike[str] | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    retry_failed: bool = False,
    jobs: int | None = None,
    executor: Hosts | Dask | None = None,
) -> Sweep:
    """Simulate variants on learning curves, clusters, numbers of workers and seeds.

    The same as ``hbsim sweep``. Studies that are finished in the folder are never run again. A study that
    fails is kept with its error, as a row of `Sweep.cells`. A script needs no ``if __name__ == "__main__":``.

    Parameters
    ----------
    spec : path or mapping
        A sweep's TOML file, or the same as plain objects. Relative
        paths start at the file, or where this process is.
    folder : path, optional
        Where results are kept and reused; by default they are in memory only.
    data : path, optional
        The folder that relative paths of learning curves start from; by default the file's.
    retry_failed : bool
        Whether studies that failed before are run again.
    jobs, executor : optional
        As for `compare`.

    Returns
    -------
    Sweep
        The results, and what can be concluded.

    Raises
    ------
    ParameterError
        The specification is wrong: names the line of the file, or the place; before any work starts.
    OutputError
        The folder cannot be read or written.
    """
    plan = make_plan(spec) if isinstance(spec, Mapping) else read_sweep(spec, data)
    return _run(plan, folder, jobs, executor, retry_failed)


@named_options
def load_sweep(folder: str | os.PathLike[str], matters: str | None = None) -> Sweep:
    """Read the results of a comparison or a sweep, finished or not, from its folder.

    Parameters
    ----------
    folder : path
        As ``--folder`` of ``hbsim compare`` and ``hbsim sweep``.
    matters : str, optional
        As for `compare`.

    Raises
    ------
    ParameterError
        `matters` is neither a number above 0 nor a percentage.
    OutputError
        The folder is not a sweep's, is of another version, damaged, or empty.
    """
    _check_matters(matters)
    return Sweep(read_results(Path(folder)), Path(folder), matters)


def _check_matters(matters: str | None) -> None:
    from hbsim.bench.report.build import smallest_difference

    if matters is not None:
        smallest_difference(matters)


def _run(
    plan: SweepPlan,
    folder: str | os.PathLike[str] | None,
    jobs: int | None,
    executor: Hosts | Dask | None,
    is_retrying: bool = False,
    matters: str | None = None,
) -> Sweep:
    _check_matters(matters)
    processes = default_jobs(len(plan.different)) if jobs is None else whole("jobs", jobs, 1)
    remote = None
    if executor is not None:
        from hbsim.bench.remote import Remote

        remote = Remote(executor, processes=jobs)
    with TemporaryDirectory(prefix="hbsim-") as temporary:
        out = Path(temporary if folder is None else folder)
        command = f"hbsim sweep {shlex.quote(str(out / 'sweep.toml'))}"
        run_plan(plan, out, command, processes, remote, is_retrying=is_retrying)
        count = plan.source.table.confirm
        if count is not None and (found := confirmation(plan, out, count)) is not None:
            run_plan(*found, command, processes, remote, is_retrying=is_retrying)
        return Sweep(read_results(out), None if folder is None else out, matters)


def confirmation(plan: SweepPlan, folder: Path, count: int) -> tuple[SweepPlan, Path] | None:
    """Plan the studies that confirm a choice: the leading variants on fresh seeds. Return plan and folder.

    On each task the best variant and those that are not told apart from it lead. A task with a single
    leading variant is left out.

    Parameters
    ----------
    plan : SweepPlan
        The plan of the studies that were run.
    folder : path
        Its results.
    count : int
        How many seeds.

    Returns
    -------
    (SweepPlan, path) or None
        None if there is no such task.
    """
    from hbsim.bench.report.build import build
    from hbsim.bench.report.model import NO_SCORE, WORSE

    report = build(read_results(folder), "")
    chosen = {}
    for task in report.tasks:
        leading = [row.variant for row in task.rows if row.call not in (WORSE, NO_SCORE)]
        if len(leading) > 1:
            chosen[task.surrogate, task.cluster, task.workers] = leading
    if not chosen:
        return None
    return plan.confirming(chosen, count, read_manifest(folder)["plan"]), folder / CONFIRM


def specification(
    variants: Sequence[str | Mapping[str, Any]],
    vary: Sequence[str],
    surrogate: Mapping[str, Any],
    cluster: Cluster,
    defaults: Mapping[str, Any],
    seeds: tuple[int, int],
    top: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[tuple[str | int, ...], tuple[str, object]]]:
    """Return the specification of a comparison on one task, and the option for each place in it.

    Parameters
    ----------
    variants, vary : sequence of str
        As `variant_tables` takes them; a variant may be a table already.
    surrogate : mapping
        The table of learning curves.
    cluster : Cluster
        The cluster of all studies.
    defaults : mapping
        Settings of all studies.
    seeds : (int, int)
        The first, and how many.
    top : mapping
        Further fields of the specification.

    Raises
    ------
    ParameterError
        A variant's text is wrong.
    """
    for one in variants:
        if not isinstance(one, str | Mapping):
            raise ParameterError("variant", one, "must be a text, TYPE[,OPTION=VALUE...], or a table")
    texts = [one for one in variants if isinstance(one, str)]
    made = iter(variant_tables(texts, vary) if texts or not variants else [])
    tables = [next(made) if isinstance(one, str) else dict(one) for one in variants]
    first, count = seeds
    content = {
        "title": f"Comparison on {surrogate.get('name', surrogate['surrogate'])}",
        "seeds": {"first": first, "count": count} if first else count,
        **top,
        "defaults": dict(defaults),
        "variants": tables,
        "surrogates": [dict(surrogate)],
        "clusters": [cluster_table(cluster)],
    }
    options: dict[tuple[str | int, ...], tuple[str, object]] = {
        ("defaults", name): (name, defaults.get(name)) for name in ("num_trials", *defaults)
    }
    options |= {(name,): (name, value) for name, value in top.items()}
    options |= {("seeds",): ("seeds", count), ("seeds", "first"): ("seed", first)}
    options |= {("seeds", "count"): ("seeds", count), ("clusters", 0): ("cluster", None)}
    options |= {("surrogates", 0, name): (name, value) for name, value in surrogate.items()}
    varied = {text.partition("=")[0].strip().replace("-", "_"): text for text in vary}
    for at, (one, table) in enumerate(zip(variants, tables, strict=True)):
        text = one if isinstance(one, str) else label(str(table.get("type")), _own(table))
        options["variants", at] = ("variant", text)
        for name in cast("dict[str, object]", table.get("vary", {})):
            options["variants", at, "vary", name] = ("vary", varied.get(name, name))
    return content, options


def _own(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in ("type", "name", "vary")}


def cluster_table(cluster: Cluster) -> dict[str, object]:
    """Return a cluster as a table of a specification, without fields at their defaults.

    Raises
    ------
    ParameterError
        It has a trace that was read from no file.
    """
    usual, content = Cluster().as_dict(), cluster.as_dict()
    table = {name: value for name, value in content.items() if usual.get(name) != value}
    trace = table.get("trace")
    if trace is not None and not os.path.isfile(str(trace)):
        raise ParameterError("cluster", str(trace), "its trace must be a file")
    if not cluster.names_workers or cluster.machines or trace is not None:
        table.pop("workers", None)  # a trace sets the number of workers
    if isinstance(trace, str):
        table["trace"] = os.path.abspath(trace)
    return {"name": "cluster" if table.keys() - {"workers"} else "plain", **table}
