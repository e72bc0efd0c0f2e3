"""Is the simulator true: its predictions held against real runs."""

from hbsim.validation.validate import RunValidation, Validation, validate

__all__ = ["RunValidation", "Validation", "validate"]
