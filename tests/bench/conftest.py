"""What tests of studies share with those of the command line."""

from tests.cli.conftest import call

__all__ = ["call"]
