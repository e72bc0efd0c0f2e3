"""Other simulators on the same curves, each in an environment of its own."""
