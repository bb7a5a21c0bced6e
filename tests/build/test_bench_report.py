# SPDX-License-Identifier: GPL-2.0
"""scripts/bench-report: the table of figures."""

import importlib.machinery
import importlib.util
import json
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def load():
    """The script, as a module."""
    loader = importlib.machinery.SourceFileLoader("bench_report", str(TOP / "scripts/bench-report"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def run(instructions, reads, seconds):
    """The figures of a run."""
    counts = {"mmio_reads": reads, "mmio_writes": 128, "interrupts": 64}
    transfer = counts | {"mib": 64.0, "seconds": seconds, "frames": 1000}
    each = {"fetching": instructions, "sending": instructions, "all": instructions}
    return {
        "kernel": "7.3.4",
        "probe": counts | {"seconds": 1.0},
        "open": counts | {"seconds": 1.0},
        "fetching": transfer,
        "sending": transfer,
        "instructions": {"kernel": each, "module": each, "functions": {}},
    }


class Report(unittest.TestCase):
    """The report."""

    def rows(self, **runs):
        """The rows of the table by their titles."""
        report = load()
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "runs").mkdir()
            for name, several in runs.items():
                for number, figures in enumerate(several):
                    (Path(directory) / f"runs/{name.replace('_', '-')}-{number}.json").write_text(json.dumps(figures), encoding="utf-8")
            lines, _ = report.tabulate(report.rounds(Path(directory)), report.TITLES)
        return {cells[1]: cells[2:-1] for cells in ([cell.strip() for cell in line.split("|")] for line in lines)}

    def test_goals(self):
        rows = self.rows(ours_b380=[run(150, 64, 1.0)], r8169_b380=[run(200, 256, 2.0)])
        self.assertEqual(rows["instructions a frame, driver"], ["150", "200", "0.75", "met (<= 1.0x)"])
        self.assertEqual(rows["MMIO reads a MiB, sending"], ["1", "4", "0.25", "met (<= 0.5x)"])
        self.assertEqual(rows["interrupts a MiB, sending"][2:], ["1.00", "missed (<= 0.7x)"])
        self.assertEqual(rows["Mbit/s, fetching"][2:], ["2.00", "met (>= 1.0x)"])

    def test_times_are_compared_within_a_round(self):
        ours, other = [run(1, 1, 1.0), run(1, 1, 10.0), run(1, 1, 2.0)], [run(1, 1, 2.0), run(1, 1, 20.0), run(1, 1, 4.0)]
        self.assertEqual(self.rows(ours_b380=ours, r8169_b380=other)["Mbit/s, sending"][2], "2.00")

    def test_without_the_yardstick(self):
        self.assertEqual(self.rows(ours_b300=[run(150, 64, 1.0)])["MMIO reads, probe"], ["64", "-", ""])


if __name__ == "__main__":
    unittest.main()
