"""Is the simulator true: its predictions held against real runs."""
