"""The validation of the simulator: a comparison of its predictions with real runs."""

from hbsim.validation.validate import RunValidation, Validation, validate

__all__ = ["RunValidation", "Validation", "validate"]
