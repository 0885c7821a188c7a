"""Processes that begin with everything imported: forked from a server which has computed nothing, each at no cost.

They are processes like those of ``subprocess``, with an id, an exit status and a death of their own.
"""

import faulthandler
import multiprocessing
import os
import runpy
import sys
from pathlib import Path

import torch
from monai.bundle import ConfigWorkflow  # noqa: F401

import monai_supmix.bundle
import monai_supmix.engines
import monai_supmix.inferers
import monai_supmix.report  # noqa: F401

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def start_python(arguments, log, environment=(), folder=".", session=False):
    """Start what ``python *arguments`` starts, ``["-m", module, ...]`` or ``[file, ...]``, in one thread.

    ``log`` is a file to which all that is printed is added; ``environment`` is added to that of the server, which is
    that of the tests; ``session`` makes it the leader of a session.
    """
    words = [str(argument) for argument in arguments]
    process = CONTEXT.Process(target=_python, args=(words, log, dict(environment), Path(folder).resolve(), session))
    process.start()
    return process


def _python(words, log, environment, folder, session):
    faulthandler.dump_traceback_later(1200, exit=True)  # one that hangs says where
    with Path(log).open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    if session:
        os.setsid()
    os.environ.update(environment)
    os.chdir(folder)
    multiprocessing.set_start_method(None, force=True)  # workers of its own are started as they are elsewhere
    torch.set_num_threads(1)
    module = words[0] == "-m"
    sys.argv = words[1:] if module else words
    run = runpy.run_module if module else runpy.run_path
    try:
        run(sys.argv[0], run_name="__main__", **({"alter_sys": True} if module else {}))
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
