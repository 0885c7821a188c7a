"""The parts of ``scripts/gpu_check``: what is checked, and how each check runs by itself."""
