"""Many trainings of one bundle: folds, and comparisons of methods."""
