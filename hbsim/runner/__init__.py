"""The loop that drives a scheduler, and what it asks of an executor."""

from hbsim.runner.loop import FAILURE, FREE, MILESTONE, NOTHING, Event, Executor, drive

__all__ = ["FAILURE", "FREE", "MILESTONE", "NOTHING", "Event", "Executor", "drive"]
