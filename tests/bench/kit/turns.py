"""Servers take turns, so that whatever else the machine does meets all of them alike."""

import subprocess
import sys

from .servers import Missing


class Turns:
    """Runs work(server) for each server in turn, `rounds` times.  A server that fails is noted in every row that it
    has no figure for, and does not get another turn."""

    def __init__(self, kinds, rounds, rows):
        self.kinds, self._rounds, self.rows = list(kinds), rounds, rows
        self.failed = {}

    def servers(self):
        return [kind.name for kind in self.kinds]

    def each(self, work, rounds=None, only=None):
        rounds = rounds or self._rounds
        for number in range(rounds):
            kinds = self.kinds if number % 2 == 0 else list(reversed(self.kinds))
            for kind in kinds:
                if not only or kind.name in only:
                    self.attempt(kind, work)

    def attempt(self, kind, work):
        """One turn of one server, unless one of its turns failed before."""
        if kind.name in self.failed:
            return
        try:
            work(kind)
        except Missing as missing:
            self._give_up(kind, f"skipped, {missing}", fault=False)
        except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
            self._give_up(kind, str(error))

    def _give_up(self, kind, text, fault=True):
        self.failed[kind.name] = fault
        print(f"{kind.name}: {text}", file=sys.stderr, flush=True)
        for row in self.rows:
            if kind.name not in row.values:
                row.note(kind.name, text)


def run(host, *command, seconds=60, check=True):
    """Runs a client in a namespace; its output.  RuntimeError with the end of it when it fails."""
    try:
        done = subprocess.run(host.command(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=seconds)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} took more than {seconds} s") from None
    if check and done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout.strip()[-300:]}")
    return done.stdout
