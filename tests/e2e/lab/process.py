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
