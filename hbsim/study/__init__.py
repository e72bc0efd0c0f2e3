"""Studies, simulated and real: their options, folders, runs, progress and results."""
