"""Trials on other machines: hosts by SSH, and clusters by Dask."""
