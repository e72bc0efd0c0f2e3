"""The scheduler core: a state machine without a clock, files or threads.

::

    scheduler = make_scheduler("promotion", max_t=81, num_trials=100)
    while (job := scheduler.ask()) is not None:
        value = ...  # train job.trial from job.start to job.stop
        decision = scheduler.tell(Report(job.trial, job.stop, value))
"""

from hbsim.core.factory import make_scheduler
from hbsim.core.scheduler import Scheduler
from hbsim.core.types import (
    Decision,
    Explanation,
    Failure,
    Job,
    Milestone,
    Report,
    Verdict,
)

__all__ = [
    "Decision",
    "Explanation",
    "Failure",
    "Job",
    "Milestone",
    "Report",
    "Scheduler",
    "Verdict",
    "make_scheduler",
]
