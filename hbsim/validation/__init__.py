"""Is the simulator true: its predictions held against real runs."""

from hbsim.validation.validate import Validated, Validation, validate

__all__ = ["Validated", "Validation", "validate"]
