"""hbsim's own studies, as files: each ``NAME.toml`` beside this one. `python -m benchmarks.sweeps --help`."""

from benchmarks.sweeps.driver import main

__all__ = ["main"]
