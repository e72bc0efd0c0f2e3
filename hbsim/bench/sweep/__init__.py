"""Sweeps: studies over variants, learning curves, clusters, workers and seeds, from one specification."""

from hbsim.bench.sweep.folder import read_results

__all__ = ["read_results"]
