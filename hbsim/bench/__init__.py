"""Variants of schedulers against each other: studies, their scores, and what can be concluded."""
