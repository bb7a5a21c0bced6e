# SPDX-License-Identifier: GPL-2.0
"""An overview of a room: how many nodes are in which phase, and which. As a table for a terminal, a page for a browser, and lines of JSON."""

import collections
import html
import json
import threading
import time
from pathlib import Path

# The file of events begins anew when it is as long as this, and the one before is kept.
EVENTS_BYTES = 16 << 20
LAST_EVENTS = 20
# A row names so many ranges of nodes at most.
RANGES = 8
HEADINGS = ("Phase", "Nodes", "Which", "Longest")


def ranges(names):
    """Names of nodes, consecutive ranks together: compute-0-[0-5,9]."""
    cabinets = collections.defaultdict(list)
    for name in names:
        cabinet, _, rank = name.rpartition("-")
        cabinets[cabinet].append(int(rank))
    out = []
    for cabinet in sorted(cabinets, key=lambda text: [int(part) if part.isdigit() else part for part in text.split("-")]):
        parts: list[list[int]] = []
        for rank in sorted(cabinets[cabinet]):
            if parts and rank == parts[-1][1] + 1:
                parts[-1][1] = rank
            else:
                parts.append([rank, rank])
        texts = [f"{low}" if low == high else f"{low}-{high}" for low, high in parts[:RANGES]] + (["..."] if len(parts) > RANGES else [])
        out.append(f"{cabinet}-{texts[0]}" if len(texts) == 1 and "-" not in texts[0] else f"{cabinet}-[{','.join(texts)}]")
    return " ".join(out)


class Overview:
    """The phase of each node, since when, and what has happened last."""

    def __init__(self, directory):
        self.path = Path(directory) / "events.jsonl"
        self._phases = {}
        self._events: collections.deque[tuple[float, str, str]] = collections.deque(maxlen=LAST_EVENTS)
        self._lock = threading.Lock()

    def event(self, node, what, phase=None):
        """Notes that something has happened, and the phase that a node is in from now on."""
        now = time.time()
        with self._lock:
            if phase:
                self._phases[node] = (phase, now)
            self._events.append((now, node, what))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as out:
                out.write(json.dumps({"time": round(now, 3), "node": node, "event": what, **({"phase": phase} if phase else {})}) + "\n")
                size = out.tell()
            if size > EVENTS_BYTES:
                self.path.replace(self.path.with_name("events.before.jsonl"))

    def rows(self):
        """A row for each phase that has nodes, the latest of the phases last: (phase, how many, which, seconds of the one that is there longest)."""
        now = time.time()
        with self._lock:
            found = collections.defaultdict(list)
            for node, (phase, since) in self._phases.items():
                found[phase].append((node, now - since))
        order = sorted(found, key=lambda phase: -max(seconds for _, seconds in found[phase]))
        return [(phase, len(found[phase]), ranges(node for node, _ in found[phase]), max(seconds for _, seconds in found[phase])) for phase in order]

    def table(self, width=120):
        """The rows as lines of text, no longer than a terminal is wide."""
        rows = [HEADINGS, *((phase, str(count), which, f"{seconds:.0f} s") for phase, count, which, seconds in self.rows())]
        first = max(len(row[0]) for row in rows) + 2
        return [f"{row[0]:{first}}{row[1]:>6}{row[3]:>9}  {row[2]}"[: width - 1] for row in rows]

    def json(self):
        """The rows for programs."""
        keys = ("phase", "nodes", "which", "longest_seconds")
        return json.dumps([dict(zip(keys, (phase, count, which, round(seconds)), strict=True)) for phase, count, which, seconds in self.rows()]) + "\n"

    def page(self, title):
        """The page."""

        def row(cells, tag="td"):
            return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

        rows = "\n".join(row((phase, count, which, f"{seconds:.0f} s")) for phase, count, which, seconds in self.rows())
        with self._lock:
            events = list(self._events)
        lines = "\n".join(row((time.strftime("%H:%M:%S", time.localtime(when)), node, what)) for when, node, what in reversed(events))
        return f"""\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>{html.escape(title)}</title>
<style>body {{ font-family: sans-serif; margin: 1em; max-width: 75em }} table {{ border-collapse: collapse; margin-bottom: 2em; width: 100% }}
td, th {{ text-align: left; padding: 0.3em 0.8em 0.3em 0; border-bottom: 1px solid #ccc; vertical-align: top }}
td:nth-child(3) {{ overflow-wrap: anywhere }}</style></head>
<body><h1>{html.escape(title)}</h1>
<table id="phases"><thead>{row(HEADINGS, "th")}</thead><tbody>
{rows}
</tbody></table>
<h2>Last events</h2>
<table id="events"><tbody>
{lines}
</tbody></table></body></html>
"""
