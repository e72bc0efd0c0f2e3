"""Trials on the workers of a Dask cluster: on hosts by SSH, on a scheduler that runs already, or here."""
