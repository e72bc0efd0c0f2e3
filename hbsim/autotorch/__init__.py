"""AutoTorch's scheduler classes, with AutoTorch's names and parameters."""
