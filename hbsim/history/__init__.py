"""What happened in a study, in columns."""

from hbsim.history.decisions import Decisions
from hbsim.history.jobs import JobRow, Jobs

__all__ = ["Decisions", "JobRow", "Jobs"]
