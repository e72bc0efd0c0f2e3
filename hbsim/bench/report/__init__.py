"""A sweep as a page, as figures and as tables."""
