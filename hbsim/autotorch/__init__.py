"""AutoTorch's scheduler classes, by its names and with its parameters."""
