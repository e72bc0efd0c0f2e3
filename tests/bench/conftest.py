"""What tests of studies share with those of the command line."""

from tests.cli.conftest import inside

__all__ = ["inside"]
