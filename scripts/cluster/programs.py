# SPDX-License-Identifier: GPL-2.0
"""Programs that a head node runs beside itself."""

import contextlib
import fcntl
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from archive.errors import UserError

START_SECONDS = 30
# A line of a log that has the reason for an end; programs say more behind it.
_REASON = re.compile(r"\b(fatal|crit)\b", re.IGNORECASE)


class Programs:
    """Programs by their names, each with a log in a directory. However the head node ends, they end with it."""

    def __init__(self, directory):
        self.logs = Path(directory)
        self.running: dict[str, Any] = {}

    def run(self, name, *options, ready):
        """Starts a program, and waits until `ready` says that it serves."""
        with open(self.log(name), "wb") as log:
            # What is written behind its end stays there when it is made shorter.
            fcntl.fcntl(log, fcntl.F_SETFL, fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND)
            command = ["setpriv", "--pdeathsig", "TERM", name, *map(str, options)]
            self.running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise UserError(f"{name} does not answer after {START_SECONDS} s; its log is {self.log(name)}")
            time.sleep(0.1)

    def log(self, name):
        """The log of a program."""
        return self.logs / f"{name}.log"

    def check(self):
        """Fails if one has ended."""
        for name, program in self.running.items():
            if program.poll() is not None:
                lines = self.log(name).read_text(errors="replace").strip().splitlines() or ["it gave no reason"]
                reason = next(filter(_REASON.search, lines), lines[-1])
                raise UserError(f"{name} has ended: {reason}; its log is {self.log(name)}")

    def stop(self):
        """Ends them all, the last first."""
        for program in reversed(self.running.values()):
            program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(10)
            program.kill()
            program.wait()
        self.running = {}
