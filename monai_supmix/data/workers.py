"""What a loader's worker processes do with signals."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def outlive_termination(_worker: int = 0) -> None:
    """Let only the process that started a worker end it; for ``worker_init_fn`` of a `DataLoader`.

    ``timeout``, a scheduler or a service manager terminates all processes of a run at once, and Ctrl-C interrupts them.
    The training then finishes its iteration and writes a checkpoint, for which the workers have to live on; it ends
    them afterwards, and PyTorch ends those whose training was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):  # not on Windows and macOS
        return
    started_by = multiprocessing.parent_process()  # the system's parent may be a server that forks for the training
    parent = os.getppid() if started_by is None else started_by.pid
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
