"""Executors: they run training functions on this machine and on others."""
