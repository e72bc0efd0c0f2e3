"""Running training functions, and recording them as learning curves."""
