"""Plans of studies: a library of tasks, forecasts from it, and recommendations."""
