# SPDX-License-Identifier: GPL-2.0
"""The head node's page in a browser: what it shows of a hundred nodes, that it keeps itself up to date, fits, and runs nothing that a machine says."""

import base64
import itertools
import json
import os
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster/services"))

from support import PLAN, Case

from archive.errors import UserError
from archive.tools import replace
from cluster.overview import Overview

BROWSER = "chromium-headless-shell"
TIMEOUT = 120
# The look of the page.
LOOK = """JSON.stringify({
    title: document.title,
    state: document.readyState,
    phases: [...document.querySelectorAll("#phases tbody tr")].map(row => [...row.cells].map(cell => cell.innerText)),
    events: [...document.querySelectorAll("#events tr")].map(row => [...row.cells].map(cell => cell.innerText)),
    wide: document.documentElement.scrollWidth, room: document.documentElement.clientWidth,
    scripts: document.scripts.length, images: document.images.length, ran: typeof window.ran,
})"""


class Browser:
    """A browser on the machine at the other end of the wire, and one page of it."""

    def __init__(self, machine, directory):
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # It takes commands by descriptor 3, and answers by 4.
        script = f"exec {BROWSER} --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe --user-data-dir={directory}/profile about:blank"
        script += f" 3<&{theirs_in} 4>&{theirs_out}"
        with open(directory / "browser.log", "wb") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/proc/{machine}/ns/net", "bash", "-c", script],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs_in, theirs_out],
            )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = open(ours_in, "rb"), open(ours_out, "wb")  # noqa: SIM115
        self._numbers = itertools.count(1)
        self._session = None
        self.said = []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log"):
            self.do(f"{part}.enable")

    def do(self, what, **parameters):
        """Has it do something; returns its answer. What it says besides is kept."""
        number = next(self._numbers)
        message = {"id": number, "method": what, "params": parameters, **({"sessionId": self._session} if self._session else {})}
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == number:
                if "error" in answer:
                    raise UserError(f"the browser refuses {what}: {answer['error']['message']}")
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.said.append(answer["params"])

    def _read(self):
        text = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            if not byte:
                raise UserError("the browser has ended")
            text += byte
        return text

    def look(self):
        """Returns what the page shows."""
        result = self.do("Runtime.evaluate", expression=LOOK)["result"]
        if "value" not in result:
            raise UserError(f"the page cannot be looked at: {result.get('description')}")
        return json.loads(result["value"])

    def close(self):
        """Ends it."""
        self.process.kill()
        self.process.wait()
        self._in.close()
        self._out.close()


class Page(Case):
    """`/status`, as nginx serves it."""

    def setUp(self):
        super().setUp()
        self.node = self.head()
        self.overview = self.node.overview = Overview(self.dir / "head")
        self.browser = Browser(self.machine.pid, self.dir)
        self.addCleanup(self.browser.close)

    def wait(self, what, ready):
        """The page, once it is as it should be."""
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                shown = self.browser.look()
            except UserError:
                # It is between two pages.
                shown = {"state": "", "events": []}
            if shown["state"] == "complete" and ready(shown):
                return shown
            if time.monotonic() > end:
                self.fail(f"waited {TIMEOUT} s for {what}; the page shows {shown}")
            time.sleep(0.2)

    def open(self, width):
        """Opens the page in a window of that width."""
        self.browser.do("Emulation.setDeviceMetricsOverride", width=width, height=700, deviceScaleFactor=1, mobile=False)
        self.browser.do("Page.navigate", url=f"http://{PLAN.head}/status")

    def test_a_hundred_nodes_fit_on_wide_and_narrow_screens(self):
        phases = ("firmware and iPXE", "kernel and initrd over HTTP", "base system: download, extract", "installed")
        for number in range(100):
            # Every third, so that names do not fall together.
            self.overview.event(f"compute-{number // 64}-{number % 64}", "asks", phases[number % 3])
        for width in (1280, 700, 360):
            with self.subTest(width=width):
                self.open(width)
                shown = self.wait("the phases", lambda shown: len(shown["phases"]) == 3)
                self.assertEqual({row[0]: row[1] for row in shown["phases"]}, dict(zip(phases, ("34", "33", "33"), strict=False)))
                self.assertEqual(len(shown["events"]), 20)
                self.assertLessEqual(shown["wide"], shown["room"], "it is wider than the window")
                picture = base64.b64decode(self.browser.do("Page.captureScreenshot")["data"])
                self.assertEqual(picture[:4], b"\x89PNG")
                if out := os.environ.get("PICTURES"):
                    replace(Path(out) / f"status-{width}.png", picture)
        self.assertEqual(self.browser.said, [])

    def test_it_keeps_itself_up_to_date(self):
        self.overview.event("compute-0-0", "asks what to do", "firmware and iPXE")
        self.open(1000)
        self.wait("the node", lambda shown: shown["phases"] and shown["phases"][0][2] == "compute-0-0")
        self.overview.event("compute-0-0", "installed; goes off", "installed")
        shown = self.wait("what came since", lambda shown: shown["phases"] and shown["phases"][0][0] == "installed")
        self.assertEqual([row[1:] for row in shown["events"]], [["compute-0-0", "installed; goes off"], ["compute-0-0", "asks what to do"]])

    def test_what_a_machine_says_is_text_and_nothing_else(self):
        hostile = '</td></table><script>window.ran = 1</script><img src="x" onerror="window.ran = 1">' + "x" * 2000
        self.overview.event("10.1.254.9", f"asked for {hostile}, which is not here")
        self.open(700)
        shown = self.wait("the event", lambda shown: shown["events"])
        self.assertIn("<script>window.ran = 1</script>", shown["events"][0][2])
        self.assertEqual((shown["scripts"], shown["images"], shown["ran"]), (0, 0, "undefined"))
        self.assertLessEqual(shown["wide"], shown["room"], "it is wider than the window")
        self.assertEqual(shown["title"], f"The nodes of {PLAN.domain}")


if __name__ == "__main__":
    unittest.main()
