"""Studies: simulated and real, their folder, how they run and go on, and what came of them."""
