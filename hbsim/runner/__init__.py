"""The runner: the loop that drives a scheduler, its executors, and the journal and tables of a study."""
