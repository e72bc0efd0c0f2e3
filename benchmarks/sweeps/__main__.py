"""`python -m benchmarks.sweeps`."""

from benchmarks.sweeps import main

main()
