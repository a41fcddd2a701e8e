"""Ending processes that were started in a group of their own."""

import contextlib
import os
import signal
import subprocess


def kill_group(process, sign=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, sign)


def stop(process, timeout=10):
    """Asks with SIGTERM, insists with SIGKILL after the timeout; returns the exit code."""
    if process.poll() is None:
        kill_group(process, signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_group(process)
    return process.wait(timeout)


@contextlib.contextmanager
def frozen(process):
    """Nothing of the process moves inside. A signal alone is not enough: its other threads go on until they hear of it,
    so the kernel is asked when the last of them stands."""
    kill_group(process, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    try:
        yield
    finally:
        kill_group(process, signal.SIGCONT)
