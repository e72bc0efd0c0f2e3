"""What happened in a study, in columns."""

from hbsim.history.decisions import Decisions
from hbsim.history.jobs import Jobs

__all__ = ["Decisions", "Jobs"]
