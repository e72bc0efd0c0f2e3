"""The loop that drives a scheduler, what it asks of an executor, and the history and journal of a study."""
