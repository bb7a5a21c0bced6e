# SPDX-License-Identifier: GPL-2.0
"""An emulated node, with an empty disk and the emulated RTL8111B as its only network card. `lab node` runs it."""

import contextlib
import json
import subprocess
import threading
from pathlib import Path

from archive.errors import UserError

DISK_GIB = 4
# How long the launcher may take to switch a node off, in seconds.
OFF = 40


class Machine:
    """A node. `lab` and `model` are the programs; `port` is the TAP interface that its cable is plugged into; without a size it
    has no disk."""

    _node: subprocess.Popen[str] | None = None
    _cpu = 0.0

    def __init__(self, name, number, port, lab, model, directory, disk_gib=DISK_GIB):
        self.name = name
        self.mac = f"52:54:00:81:11:{0x10 + number:02x}"
        self.port = port
        self.lab = lab
        self.model = model
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.console = self.directory / "console.log"
        self.disk = self.directory / "disk" if disk_gib else None
        if self.disk:
            # Empty, and takes no room before something is written.
            with open(self.disk, "wb") as disk:
                disk.truncate(disk_gib << 30)
        # The threads that follow the nodes ask too.
        self._lock = threading.Lock()

    def start(self, boot, *more):
        """Switches the node on; `boot` names this run of it in the names of its files, `more` are further options for `lab node`."""
        command = [self.lab, "node", "--name", self.name, "--mac", self.mac, "--wire", f"tap:{self.port}", "--model", self.model]
        command += ["--directory", self.directory, "--run", boot]
        if self.disk:
            command += ["--disk", self.disk]
        if boot == "disk":
            # Once it is installed its disk is all that it needs.
            command += ["--disk-first"]
        command += more
        self.console = self.directory / f"{boot}-console.log"
        # No other request before the first answer, which is to this one, has been read.
        with self._lock, open(self.directory / f"{boot}-node.log", "wb") as log:
            # It switches the node off when this program ends, however that happens.
            self._node = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
            self._answer()

    def _ask(self, **request):
        """Has the launcher do something; returns what it answers."""
        node = self._node
        if not node or not node.stdin:
            raise UserError(f"{self.name} is not switched on")
        with self._lock:
            try:
                node.stdin.write(json.dumps(request) + "\n")
                node.stdin.flush()
            except (OSError, ValueError):
                raise UserError(f"{self.name}: its launcher has ended; its log is in {self.directory}") from None
            return self._answer()

    def _answer(self):
        if not self._node or not self._node.stdout:
            raise UserError(f"{self.name} is not switched on")
        line = self._node.stdout.readline()
        if not line:
            raise UserError(f"{self.name}: its launcher has ended; its log is in {self.directory}")
        answer = json.loads(line)
        if not answer["ok"]:
            raise UserError(f"{self.name}: {answer['error']}")
        return answer["value"]

    def is_on(self):
        """Returns whether it has been switched on, and not off from here."""
        return self._node is not None

    def running(self):
        """Returns whether it is switched on; fails if it went out in a way of its own."""
        state = self._ask(do="state")
        self._cpu = state["cpu"]
        return state["running"]

    def ask_card(self, **request):
        """Asks the control socket of the emulated card; returns its answer."""
        return self._ask(do="card", request=request)

    def pause(self):
        """Has it do nothing any more, though it is switched on."""
        self._ask(do="pause")

    def show(self, path):
        """Writes what its screen shows to a file, as PNG or, by another suffix, as PPM."""
        self._ask(do="screen", file=str(path), format="png" if Path(path).suffix == ".png" else "ppm")

    def press(self, *keys):
        """Presses keys, by QEMU's names for them."""
        self._ask(do="press", keys=keys)

    def keep_registers(self):
        """Keeps the registers of all processors: evidence of where a boot hangs."""
        # The hang is the error to be reported.
        with contextlib.suppress(UserError):
            self._ask(do="registers")

    def stop(self):
        """Switches it off, whatever it is doing."""
        node = self._node
        if not node or not node.stdin or not node.stdout:
            return
        with self._lock:
            # When it has ended already, a request may be left.
            with contextlib.suppress(BrokenPipeError):
                node.stdin.close()
            try:
                node.wait(OFF)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()
            node.stdout.close()
            self._node = None

    def cpu_seconds(self):
        """The processor time that it has cost so far, with that of its card; once it is off, what was seen last."""
        with contextlib.suppress(UserError):
            self.running()
        return self._cpu

    def console_text(self):
        """All that its console has shown."""
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def console_tail(self, lines=8):
        """The end of that."""
        text = self.console_text()
        return "\n".join(line for line in text.replace("\r", "\n").splitlines() if line.strip()).splitlines()[-lines:]
