"""The records of a study's journal: a class for each kind of line, with the line's fields in their order.

To add a kind, add a class with `record` here. The check of lines that are read and the line that is written
both come from its fields; `hbsim.runner.journal_state` says what it changes. A field with a default may be
missing in a line, and is not written while it has the default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeAlias, TypeVar, dataclass_transform

from annotated_types import Ge, Le, Lt

from hbsim.core.types import FailureKind, Verdict

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from hbsim.runner.reports import ReportColumns

Index: TypeAlias = Annotated[int, Ge(0), Lt(2**31)]  # columns have 32 bits
Attempt: TypeAlias = Annotated[int, Ge(0), Lt(2**16)]
UnitNumber: TypeAlias = Annotated[float, Ge(0.0), Le(1.0)]
# Study seconds, seconds of training in the job until then, the resource, and all metrics.
Row: TypeAlias = tuple[float, float, float, dict[str, float | None]]

R = TypeVar("R", bound="Record")

TAG: Final = "e"  # the field of a line that has its tag
LINE_NAMES: Final = {"time": "t"}  # fields with another name in the line
KINDS: Final[dict[str, type[Record]]] = {}


class EndReason(StrEnum):
    """Why a study, or a session of it, ended: the words of `StudyClosed`, with the texts that say it.

    To add a reason, add it here and in `hbsim.runner.real.StopConditions`.

    Attributes
    ----------
    state : str
        The state of the study in the progress display.
    past : str
        What happened, as a sentence.
    ending : str
        What follows the seconds of the study in its summary.
    """

    state: str
    past: str
    ending: str

    def __new__(cls, value: str, state: str, past: str, ending: str) -> EndReason:
        """Make a reason from its word and texts."""
        made = str.__new__(cls, value)
        made._value_ = value
        made.state, made.past, made.ending = state, past, ending
        return made

    DONE = "done", "done", "it is done", ""
    MAX_REWARD = (
        "max_reward",
        "ended: max_reward is reached",
        "it ended at max_reward",
        ", ended by --max-reward",
    )
    MAX_TIME = (
        "max_time",
        "ended: the time limit (max_time) is over",
        "it was cut by its max_time",
        ", cut by --max-time",
    )
    FAILURES = (
        "failures",
        "ended: one trial after the other failed",
        "it ended since one trial after the other failed",
        ", ended since one trial after the other failed",
    )
    INTERRUPTED = "interrupted", "interrupted", "it was interrupted", ", interrupted"

    @classmethod
    def _missing_(cls, value: object) -> EndReason | None:
        """Return the reason by its word in journals of version 0.1."""
        return cls.MAX_TIME if value == "time_out" else None


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(tag: str) -> Callable[[type[R]], type[R]]:
    """Declare a class as the records of a kind, which lines call `tag`: a frozen dataclass."""

    def declare(cls: type[R]) -> type[R]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.tag = tag
        made.line = [(each.name, LINE_NAMES.get(each.name, each.name), each.default) for each in fields(made)]
        KINDS[tag] = made
        return made

    return declare


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record of a study's journal, at a time in study seconds."""

    tag: ClassVar[str] = ""  # the word for its kind in the line
    line: ClassVar[list[tuple[str, str, Any]]]  # the name, the name in the line and the default of each field
    __pydantic_config__: ClassVar[dict[str, object]] = {
        "strict": True,
        "allow_inf_nan": False,
        "extra": "ignore",
        "alias_generator": lambda name: LINE_NAMES.get(name, name),
    }

    time: float


@record("study")
class StudyStarted(Record):
    """The first line: the version of the journal, and the description of the study."""

    time: float = 0.0
    version: Index
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBegun(Record):
    """A worker gets a job: it trains a trial from `start` to `stop`, or until its function returns.

    `was` is the trial's earlier job if it starts again after an interruption, -1 if there was none; `point`
    is the configuration of a new trial.
    """

    worker: Index
    was: int | None = None
    job: Index
    trial: Index
    bracket: Index
    start: float
    stop: float | None
    attempt: Attempt
    point: list[UnitNumber] | None = None


@record("start")
class JobStarted(JobBegun):
    """A worker gets a job that the scheduler has asked for."""


@record("restart")
class JobRestarted(JobBegun):
    """A worker gets a job again that was cut off when the study, or its worker, was interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReports(Record):
    """A job has made reports."""

    job: Index
    rows: list[Row]


@record("rows")
class ReportsReceived(JobReports):
    """A job has made reports below its milestone."""


@record("change")
class ValuesChanged(Record):
    """A job reports hyperparameters or constants with other values than before, from a resource on.

    `values` has the given value and the present one of each; both are the same once it is as it was given.
    """

    job: Index
    resource: float
    values: dict[str, tuple[Any, Any]]


@record("reach")
class MilestoneReached(JobReports):
    """A job has reached the level with index `at` at a value, and the scheduler has decided."""

    at: Index
    value: float | None
    verdict: Verdict


@record("fail")
class JobFailed(Record):
    """A job has failed, and the scheduler has decided whether its trial is tried again."""

    job: Index
    resource: float
    kind: FailureKind
    reason: str
    verdict: Verdict


@record("return")
class JobReturned(Record):
    """A job's training function has returned below R, so that its trial is complete."""

    job: Index


@record("gone")
class ProcessEnded(Record):
    """The process of a job has ended, and its worker is free.

    `begun` is when the training function was called, `seconds` what the process measured, and `note` an
    error after the order to leave.
    """

    job: Index
    begun: float | None
    seconds: dict[str, float]
    note: str | None = None


@record("late")
class LateReports(Record):
    """Reports of a job were dropped, since they are known already or came after its decision."""

    job: Index
    count: Index


@record("missing")
class MissingReports(Record):
    """Reports of a job have never arrived, as later ones show."""

    job: Index
    count: Index


@record("open")
class WorkerJoined(Record):
    """A host has joined or is back, and this worker of it takes jobs."""

    worker: Index
    host: str
    cpus: int
    gpus: list[str]


@record("shut")
class WorkerLeft(Record):
    """A worker of a host takes no more jobs until it joins again."""

    worker: Index
    reason: str


@record("none")
class NothingToRun(Record):
    """The scheduler had no job for an idle worker."""

    worker: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded(Record):
    """The session until now is over, and with it the jobs and the workers of hosts."""


@record("resume")
class StudyResumed(SessionEnded):
    """The study goes on in a new process, with `trials` in all if their number has grown."""

    trials: Index | None = None


@record("close")
class StudyClosed(SessionEnded):
    """The study, or this session of it, is over."""

    why: EndReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBatch(Record):
    """Many reports as columns, which stand for the records of several lines; in memory only.

    `jobs` has the job of each part of `reports`, and `lines` is how many lines of the journal it stands for.
    """

    jobs: Sequence[int]
    reports: ReportColumns
    lines: int


def line_fields(record: Record) -> dict[str, Any]:
    """Return the fields of a record's line, in their order."""
    made: dict[str, Any] = {TAG: record.tag}
    for name, key, default in record.line:
        value = getattr(record, name)
        if default is MISSING or value != default:
            made[key] = value
    return made


@cache
def line_validator() -> SchemaValidator:
    """Return a validator that makes a record of a line's text; it leaves out fields that no class has."""
    from pydantic import TypeAdapter
    from pydantic_core import SchemaValidator
    from pydantic_core import core_schema as cs

    schemas = {tag: TypeAdapter(cls).core_schema for tag, cls in KINDS.items()}
    return SchemaValidator(cs.tagged_union_schema(schemas, discriminator=TAG))
