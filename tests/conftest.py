"""What all tests need."""

import sys

from absl import logging as absl_logging

# TensorBoard and converters log through absl. Its handler keeps what is the standard error when it is first imported,
# within a test one of pytest's own streams, and closes it when a later command sets up logging.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__
