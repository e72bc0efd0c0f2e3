"""The loop that drives a scheduler, and what it asks of an executor."""

from hbsim.runner.loop import END, FAILURE, FREE, MILESTONE, NOTHING, Event, Executor, drive
from hbsim.runner.telling import Telling

__all__ = ["END", "FAILURE", "FREE", "MILESTONE", "NOTHING", "Event", "Executor", "Telling", "drive"]
