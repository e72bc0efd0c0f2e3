"""Callbacks that report from the training loops of other libraries."""
