"""The description of a study, and the state that its journal leads to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from hbsim.core.factory import make_scheduler
from hbsim.core.options import with_later_options
from hbsim.core.space import Space
from hbsim.errors import JournalError, ParameterError
from hbsim.runner.loop import SearcherNotifier, drive
from hbsim.runner.records import Record
from hbsim.runner.replay import Replay
from hbsim.runner.state import JournalState
from hbsim.runner.tables import DecisionTable

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from hbsim.core.scheduler import Scheduler

__all__ = ["StudySpec", "StudyState", "new_state", "replay"]

LATER: Final = ("constants", "search_options", "limit", "study")  # fields that older journals do not have


@cache
def _validator() -> SchemaValidator:
    """Return what checks the types of a description's fields."""
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
    """Return a description with the names that journals of 0.1 have by others."""
    if not isinstance(data, Mapping) or "reward_attr" not in data:
        return data
    return {"metric" if name == "reward_attr" else name: value for name, value in data.items()}


# What has to be the same when a study goes on, and how people know it.
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
    """A study's description.

    Attributes
    ----------
    train : str
        The training function, for people: ``train.py:train_fn``.
    digest : str or None
        SHA-256 of its file, where it has one.
    space : Space
        The search space.
    scheduler : dict
        The scheduler's options.
    seed : int
        Of configurations and trials.
    searcher : str
        The searcher's name.
    time_attr : str
        The reported name of the resource.
    metric : str or None
        That of the metric that decides; None where nothing does.
    until_return : bool
        Whether a trial is complete when its function returns, wherever that is.
    constants : mapping
        What was given for constants of the training function. They may change when a study goes on.
    search_options : mapping
        The searcher's options; a function stands there by its name.
    limit : int or None
        How many configurations the searcher has, where it has so many and no more.
    study : str
        The study's id: checkpoints say whose they are. Another study in the same folder has another.
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

    def as_dict(self) -> dict[str, object]:
        """Return it in plain JSON types."""
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
        """Read what `as_dict` returned.

        Raises
        ------
        JournalError
            It is none; `path` is the journal's file.
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
        """Return a new scheduler of the same options, and of as many trials as there are configurations."""
        options = dict(self.scheduler)
        scheduler = make_scheduler(options.pop("type"), **options)
        if self.limit is not None:
            scheduler.limit_trials(self.limit)
        return scheduler

    def check_same(self, new: StudySpec) -> None:
        """Hold against it what a study is to go on with; one of fifo may have more trials than before.

        Raises
        ------
        ParameterError
            Something differs that decides about the study.
        """
        ours, theirs = self.as_dict(), new.as_dict()
        for name in SAME:
            if name != "scheduler" and ours[name] != theirs[name]:
                rule = f"the study began with {ours[name]!r}; it goes on with the same, or in another folder"
                if name == "space":  # too long to be shown twice
                    rule = "the study began with another search space; begin a new study in another folder"
                    raise ParameterError(name, list(new.space), rule)
                raise ParameterError(name, theirs[name], rule)
        for name in sorted({*self.scheduler, *new.scheduler}):
            was, now = self.scheduler.get(name), new.scheduler.get(name)
            can_grow = name == "num_trials" and self.scheduler["type"] == "fifo"
            if was == now or (can_grow and was and now and now > was):
                continue
            same = "as many or more" if can_grow else "the same, or in another folder"
            raise ParameterError(name, now, f"the study began with {was!r}; it goes on with {same}")


@dataclass(frozen=True, slots=True)
class StudyState:
    """Where a study stands: new, or read again from its journal."""

    scheduler: Scheduler
    journal_state: JournalState
    decisions: DecisionTable


def new_state(spec: StudySpec, scheduler: Scheduler) -> StudyState:
    """Return where a new study stands."""
    journal_state = JournalState(scheduler.levels, scheduler.mode, spec.metric, spec.study)
    return StudyState(scheduler, journal_state, DecisionTable())


def replay(
    state: StudyState,
    records: Iterable[Record],
    path: str,
    notifier: SearcherNotifier | None = None,
    dimension: int | None = None,
) -> None:
    """Bring a new study to where its journal's records leave it.

    The scheduler must answer as it did. The searcher is not asked for anything: it is given the
    configurations that it suggested, and told what was observed. `dimension` says how many numbers each has.

    Raises
    ------
    JournalError
        The scheduler answers something else; names the line.
    """
    searcher = None if notifier is None else notifier.searcher
    executor = Replay(records, state.journal_state, path, state.scheduler, searcher, dimension)
    drive(state.scheduler, executor, state.decisions, notifier)
    while not executor.over:  # the study has grown
        drive(state.scheduler, executor, state.decisions, notifier)
