"""Comparisons of scheduler variants: their studies, their scores, and the conclusions from them."""
