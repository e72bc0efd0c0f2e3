"""Which variant is better, and how sure that is."""

from hbsim.bench.statistics.intervals import CONFIDENCE, MISSING, Interval, mean_band, mean_interval

__all__ = ["CONFIDENCE", "MISSING", "Interval", "mean_band", "mean_interval"]
