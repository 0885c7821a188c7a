"""What `scripts/reproduce.py` runs and writes, one file a subject."""
