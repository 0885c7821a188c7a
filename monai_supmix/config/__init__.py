"""Configurations around a run: options and overrides, finding bundles, what a bundle names, error lines."""
