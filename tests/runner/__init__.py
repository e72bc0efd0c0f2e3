"""The runner on pretended workers, on a virtual clock."""
