"""The server under test: `netlab run` of a recipe, inside a host's namespace."""

import json
import os
import pathlib
import subprocess
import time

from . import process
from .output import Output

READY = r"NL-HOST-001"


class Netlab:
    """One running recipe.  Construction returns when every service is bound and netlab has said so."""

    name = "netlab"

    def __init__(self, host, folder, binary, recipe, options, log_name="netlab"):
        self._host = host
        self._binary = str(binary)
        command = [self._binary, "run", "--log", "json", str(recipe)]
        for key, value in options.items():
            command += [f"--{key}"] if value is True else [f"--{key}", str(value)]
        environment = dict(os.environ)
        # A sanitizer's finding must not look like an orderly stop, nor a leak like success.
        environment.setdefault("ASAN_OPTIONS", "exitcode=99:detect_leaks=1")
        environment.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
        begun = time.monotonic()
        self.process = host.popen(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
                                  cwd=pathlib.Path(recipe).parent)
        self.log = Output(self.process.stdout, pathlib.Path(folder) / f"{log_name}.log")
        self.log.expect(READY, 60)
        self.start_seconds = time.monotonic() - begun

    def events(self):
        """The log so far as objects; a line that is not JSON becomes {"text": line}."""
        found = []
        for line in self.log.lines():
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            found.append(value if isinstance(value, dict) else {"text": line})
        return found

    def stop(self):
        """Ends it with SIGTERM, and returns the exit code, which must be 0."""
        code = process.stop(self.process, timeout=15)
        self.log.close()
        return code

    def kill(self):
        """Ends it as a power cut would."""
        process.kill_group(self.process)
        self.process.wait(10)
        self.log.close()

    def logs(self):
        return self.log.text()
