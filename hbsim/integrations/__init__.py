"""Callbacks of training loops, which report to a study, and callbacks of a study, which log it elsewhere."""
