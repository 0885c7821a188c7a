"""What all tests need."""

import logging
import sys

import pytest
from absl import logging as absl_logging

# TensorBoard and converters log through absl. Its handler keeps what is the standard error when it is first imported,
# within a test one of pytest's own streams, and closes it when a later command sets up logging.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(autouse=True)
def _loggers_are_on():
    """Whatever set up logging in an earlier test, messages of this package can be read in the next."""
    logging.disable(logging.NOTSET)
    logging.root.setLevel(min(logging.root.level, logging.WARNING))
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "monai_supmix":
            logger = logging.getLogger(name)
            logger.disabled, logger.propagate = False, True
            logger.setLevel(logging.NOTSET)
