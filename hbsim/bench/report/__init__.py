"""Reports of a sweep: as a page, as figures and as tables."""
