"""Studies on real Dask clusters, end to end."""
