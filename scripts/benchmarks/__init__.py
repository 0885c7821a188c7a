"""The measurements behind ``scripts/benchmark.py``, one subject a file."""
