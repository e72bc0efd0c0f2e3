"""Running training functions for real, and recording them as learning curves."""
