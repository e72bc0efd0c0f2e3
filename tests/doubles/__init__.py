"""Naive doubles: slow, plain, written from the rules alone."""
