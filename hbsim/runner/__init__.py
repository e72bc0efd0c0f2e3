"""The loop that drives a scheduler, and what it asks of an executor."""

from hbsim.runner.loop import Event, Executor, drive

__all__ = ["Event", "Executor", "drive"]
