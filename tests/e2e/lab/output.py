"""What a process prints: kept in a file, and waited for line by line with a deadline."""

import re
import threading
import time


class Output:
    """Reads a pipe to its end on a thread of its own; any thread may wait for a line."""

    def __init__(self, stream, path):
        self._stream = stream
        self._file = open(path, "wb")
        self._changed = threading.Condition()
        self._lines = []
        self._closed = False
        self._seen = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with self._stream, self._file:
            for line in self._stream:
                self._file.write(line)
                self._file.flush()
                with self._changed:
                    self._lines.append(line.decode("utf-8", "replace").rstrip())
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def text(self):
        with self._changed:
            return "\n".join(self._lines)

    def lines(self):
        with self._changed:
            return list(self._lines)

    def expect(self, pattern, timeout, fail=None):
        """The match of the first line from where the last wait ended that holds the pattern.

        AssertionError when time is over, the process closed its end, or a line matches `fail`."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                while self._seen < len(self._lines):
                    line = self._lines[self._seen]
                    self._seen += 1
                    match = re.search(pattern, line)
                    if match:
                        return match
                    if fail and re.search(fail, line):
                        raise AssertionError(f"waiting for {pattern!r}: {line}\n{self._tail()}")
                left = deadline - time.monotonic()
                if self._closed:
                    raise AssertionError(f"ended without {pattern!r}\n{self._tail()}")
                if left <= 0:
                    raise AssertionError(f"no {pattern!r} within {timeout} s\n{self._tail()}")
                self._changed.wait(left)

    def _tail(self):
        return "\n".join("  | " + line for line in self._lines[-15:])

    def close(self):
        self._thread.join(timeout=5)
