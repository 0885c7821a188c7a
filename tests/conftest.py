"""What all tests need."""

import gc
import logging
import sys

import hypothesis  # noqa: F401  # before the freeze, for it looks for what refers to a generator of random numbers
import pytest
from absl import logging as absl_logging

# TensorBoard and converters log through absl. Its handler keeps what is the standard error when it is first imported,
# within a test one of pytest's own streams, and closes it when a later command sets up logging.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(autouse=True)
def _logging_is_new():
    """Whatever an earlier test set up, the next has pytest's handlers alone, and this package's messages are read."""
    logging.disable(logging.NOTSET)
    logging.root.setLevel(min(logging.root.level, logging.WARNING))
    for handler in logging.root.handlers[:]:
        if type(handler).__module__.partition(".")[0] != "_pytest":
            logging.root.removeHandler(handler)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "monai_supmix":
            logger = logging.getLogger(name)
            logger.disabled, logger.propagate = False, True
            logger.setLevel(logging.NOTSET)


def pytest_collection_finish():
    _spare_the_collector()


@pytest.fixture(autouse=True, scope="module")
def _imports_of_this_file_stay():
    yield
    _spare_the_collector()


def _spare_the_collector():
    """What is left now, imports above all, stays for good, and Python need not look through it again and again."""
    gc.collect()
    gc.freeze()
