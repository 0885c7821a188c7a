"""The package's version, read by the build and recorded with every checkpoint."""

__version__ = "0.1.0"
