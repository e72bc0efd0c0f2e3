"""The description of a study, and its state, restored by a replay of its journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from hbsim.core.factory import make_scheduler
from hbsim.core.options import with_later_options
from hbsim.core.space import Space
from hbsim.errors import JournalError, ParameterError
from hbsim.runner.journal_state import JournalState
from hbsim.runner.loop import SearcherNotifier, drive
from hbsim.runner.records import Record
from hbsim.runner.replay import Replay
from hbsim.runner.tables import DecisionTable
from hbsim.searchers import FirstPoints
from hbsim.searchers.factory import plain_options

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from hbsim.core.scheduler import Scheduler
    from hbsim.executors.training_function import FunctionDescription
    from hbsim.study.options import RunOptions

LATER: Final = ("constants", "search_options", "limit", "study")  # fields that older journals do not have


@cache
def _validator() -> SchemaValidator:
    """Return a validator of the types of a description's fields."""
    from pydantic_core import SchemaValidator
    from pydantic_core import core_schema as cs

    text, whole = cs.str_schema(strict=True, min_length=1), cs.int_schema(strict=True, ge=0)
    table = cs.dict_schema(text, cs.any_schema(), strict=True)
    kinds: dict[str, cs.CoreSchema] = {
        "train": text,
        "sha256": cs.nullable_schema(text),
        "space": cs.any_schema(),
        "scheduler": table,
        "seed": whole,
        "searcher": text,
        "time_attr": text,
        "metric": cs.nullable_schema(text),
        "until_return": cs.bool_schema(strict=True),
        "constants": table,
        "search_options": table,
        "limit": cs.nullable_schema(cs.int_schema(strict=True, ge=1)),
        "study": cs.str_schema(strict=True),
    }
    fields = {name: cs.typed_dict_field(kind, required=name not in LATER) for name, kind in kinds.items()}
    return SchemaValidator(cs.typed_dict_schema(fields))


def _in_todays_words(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rename fields of descriptions in journals of version 0.1 to their present names."""
    if not isinstance(data, Mapping) or "reward_attr" not in data:
        return data
    return {"metric" if name == "reward_attr" else name: value for name, value in data.items()}


# Fields that must be the same when a study is resumed, with their names in messages.
SAME: Final = (
    "scheduler",
    "space",
    "seed",
    "searcher",
    "search_options",
    "limit",
    "time_attr",
    "metric",
    "until_return",
)


@dataclass(frozen=True, slots=True)
class StudySpec:
    """The description of a study, as kept in the first line of its journal.

    Attributes
    ----------
    train : str
        The training function, as shown to users: ``train.py:train_fn``.
    digest : str or None
        The SHA-256 of the function's file, if there is one.
    space : Space
        The search space.
    scheduler : dict
        The scheduler's options.
    seed : int
        The seed of configurations and trials.
    searcher : str
        The searcher's name.
    time_attr : str
        The reported name of the resource.
    metric : str or None
        The reported name of the metric that decides; None if there is none.
    until_return : bool
        Whether a trial is complete when its function returns, at any resource.
    constants : mapping
        The given constants of the training function. They may change when a study is resumed.
    search_options : mapping
        The searcher's options; a function is kept as its name.
    limit : int or None
        How many configurations the searcher has; None if there is no limit.
    study : str
        The study's id, which its checkpoints have too. Each study has its own, even in the same folder.
    """

    train: str
    digest: str | None
    space: Space
    scheduler: Mapping[str, Any]
    seed: int
    searcher: str
    time_attr: str
    metric: str | None
    until_return: bool
    constants: Mapping[str, object] = field(default_factory=dict)
    search_options: Mapping[str, object] = field(default_factory=dict)
    limit: int | None = None
    study: str = ""

    @classmethod
    def of(
        cls,
        function: FunctionDescription,
        scheduler: Scheduler,
        options: RunOptions,
        limit: int | None = None,
        study: str = "",
    ) -> StudySpec:
        """Return the description of a study of a training function with checked options."""
        given = (options.searcher, options.search_options)
        searcher, search_options = getattr(options.searcher, "stands_for", None) or given
        return cls(
            train=function.label,
            digest=function.digest,
            space=function.space,
            scheduler=scheduler.options.as_dict(),
            seed=options.seed,
            searcher=searcher_name(searcher),
            time_attr=options.time_attr,
            metric=options.metric,
            until_return=options.until_return,
            constants=options.constants,
            search_options=plain_options(search_options),
            limit=limit,
            study=study,
        )

    def as_dict(self) -> dict[str, object]:
        """Return the description in plain JSON types."""
        return {
            "study": self.study,
            "train": self.train,
            "sha256": self.digest,
            "space": self.space.to_json(),
            "scheduler": dict(self.scheduler),
            "seed": self.seed,
            "searcher": self.searcher,
            "search_options": dict(self.search_options),
            "limit": self.limit,
            "time_attr": self.time_attr,
            "metric": self.metric,
            "until_return": self.until_return,
            "constants": dict(self.constants),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], path: str) -> StudySpec:
        """Read a description that `as_dict` returned.

        Raises
        ------
        JournalError
            If it is not valid; `path` is the journal's file.
        """
        from pydantic_core import ValidationError

        try:
            values = _validator().validate_python(_in_todays_words(data))
            digest, space = values.pop("sha256"), Space.from_json(values.pop("space"))
            values["scheduler"] = with_later_options(values["scheduler"])
            spec = cls(digest=digest, space=space, **values)
            spec.make_scheduler()
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise JournalError(path, 1, f"it does not describe a study: {problem}") from None
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise JournalError(path, 1, f"it does not describe a study: {error}") from None
        return spec

    def make_scheduler(self) -> Scheduler:
        """Make a scheduler with the study's options and at most as many trials as configurations."""
        options = dict(self.scheduler)
        scheduler = make_scheduler(options.pop("type"), **options)
        if self.limit is not None:
            scheduler.limit_trials(self.limit)
        return scheduler

    def check_same(self, new: StudySpec) -> None:
        """Check that a study can be resumed with another description; it may have more trials.

        Raises
        ------
        ParameterError
            If a field differs that must stay the same.
        """
        ours, theirs = self.as_dict(), new.as_dict()
        for name in SAME:
            if name.startswith("search") and self.searcher == FirstPoints.__name__:
                continue  # of an earlier version, where a queue hid the searcher's name
            if name != "scheduler" and ours[name] != theirs[name]:
                rule = f"the study began with {ours[name]!r}; it goes on with the same, or in another folder"
                if name == "space":  # too long to be shown
                    rule = "the study began with another search space; begin a new study in another folder"
                    raise ParameterError(name, list(new.space), rule)
                raise ParameterError(name, theirs[name], rule)
        for name in sorted({*self.scheduler, *new.scheduler}):
            was, now = self.scheduler.get(name), new.scheduler.get(name)
            if was == now or (name == "num_trials" and None not in (was, now)):
                continue  # how many trials it has now is known when it is replayed
            raise ParameterError(name, now, f"the study began with {was!r}; it goes on with {_rule(name)}")


def searcher_name(searcher: object) -> str:
    """Return the name of a searcher in the description of a study: its own, or its class's."""
    if searcher is None:
        return "random"
    return searcher if isinstance(searcher, str) else type(searcher).__name__


def _rule(name: str) -> str:
    """Return what can be done about an option of the scheduler that differs."""
    if name == "max_t":
        return "the same; for longer trials begin a new study in another folder"
    return "the same, or in another folder"


@dataclass(frozen=True, slots=True)
class StudyState:
    """The state of a study: scheduler, journal state and decisions."""

    scheduler: Scheduler
    journal_state: JournalState
    decisions: DecisionTable


def new_state(spec: StudySpec, scheduler: Scheduler) -> StudyState:
    """Return the state of a new study."""
    journal_state = JournalState(scheduler.levels, scheduler.mode, spec.metric, spec.study)
    return StudyState(scheduler, journal_state, DecisionTable())


def replay(
    state: StudyState,
    records: Iterable[Record],
    path: str,
    notifier: SearcherNotifier | None = None,
    dimension: int | None = None,
) -> None:
    """Replay a journal's records after the first, so that a new study has the state at its end.

    The scheduler must decide as before. The searcher suggests nothing: it receives the configurations that it
    suggested, and the observed values. `dimension` is the number of values in a configuration.

    Raises
    ------
    JournalError
        If the scheduler decides something else; it names the line.
    """
    searcher = None if notifier is None else notifier.searcher
    executor = Replay(records, state.journal_state, path, state.scheduler, searcher, dimension)
    drive(state.scheduler, executor, state.decisions, notifier)
    while not executor.over:  # the number of trials grew
        drive(state.scheduler, executor, state.decisions, notifier)
