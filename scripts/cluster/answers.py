# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/answers: answer files, each looked at as the head node would, and a summary of many."""

import argparse
import re
import time
from pathlib import Path

from archive.ends import ended
from archive.errors import UserError, printable

from .head import TEMPLATES, includes
from .kickstart import Kickstart
from .plan import Plan, fill
from .preseed import Preseed, questions

# A file is looked at in a second; kickseed may take five of the processor's on a machine that others use as well.
TIMEOUT = 130
_ANSWER = re.compile(r"(?m)^[ \t]*[a-z0-9][\w.+-]*[ \t]+[\w.-]+/\S+[ \t]+(string|boolean|select|multiselect|password|note|seen)\b")


def parser():
    """The options."""
    about = "Looks at answer files: kickstart files as kickseed reads them, preseed files by the installer's questions."
    result = argparse.ArgumentParser(prog="answers", description=about, allow_abbrev=False)
    add = result.add_argument
    add("--tree", required=True, metavar="DIR", help="where kickseed and the questions are (scripts/kickstart-tree)")
    add("--preseed", action="store_true", help="they are preseed files, whatever they look like")
    add("--summary", action="store_true", help="for many: a line a file, and a summary")
    add("file", nargs="+")
    return result


def looks_like_preseed(path):
    """Returns whether a file's answers are those of a preseed file."""
    return bool(_ANSWER.search(Path(path).read_text(encoding="utf-8", errors="replace")))


class Looker:
    """Reads files as the head node would, with the plan as it is in packaging/cluster."""

    def __init__(self, tree):
        self.tree = Path(tree)
        self.asked = questions(self.tree / "kickseed")
        plan = Plan(TEMPLATES / "cluster.conf")
        words = {**plan.template_variables(), "INCLUDES": " ".join(includes("KVER")), "KVER": "KVER", "NODE": plan.name(0)}
        lines = [line.split(maxsplit=3) for line in fill((TEMPLATES / "preseed.cfg").read_text(), words).splitlines()]
        self.known = {line[1]: [*line, ""][3] for line in lines if len(line) > 2 and not line[0].startswith("#")}

    def look(self, path, preseed):
        """The parts of a file that will have no effect, a line for each."""
        if preseed:
            return Preseed(path, self.asked).complaints
        return Kickstart(path, self.tree, self.known).complaints


def run(options):
    """Does what the options say; returns the exit status."""
    looker = Looker(options.tree)
    counts = {"as it should be": 0, "with complaints": 0, "refused": 0, "FAILED": 0}
    for path in options.file:
        started, kind, lines = time.monotonic(), "preseed", []
        try:
            if not (options.preseed or looks_like_preseed(path)):
                kind = "kickstart"
            lines = looker.look(path, kind == "preseed")
            result = "with complaints" if lines else "as it should be"
        except UserError as error:
            if not options.summary:
                raise
            result, lines = "refused", [str(error)]
        except OSError as error:
            if not options.summary:
                raise
            result, lines = "refused", [f"cannot read {path}: {error.strerror}"]
        # Of a corpus each file is looked at, whatever another has come upon.
        except Exception as error:
            if not options.summary:
                raise
            result, lines = "FAILED", [f"{type(error).__name__}: {error}"]
        if time.monotonic() - started > TIMEOUT or any("\n" in line for line in lines):
            result = "FAILED"
        counts[result] += 1
        if options.summary:
            print(printable(f"{Path(path).name}: {kind}, {result}{f' ({len(lines)})' if lines else ''}{f': {lines[0]}' if lines else ''}"), flush=True)
        else:
            for line in [*lines, f"{len(lines)} answers in it have no effect or are wrong"]:
                print(printable(f"{Path(path).name}: {line}"))
    if options.summary:
        print(f"{len(options.file)} answer files: {', '.join(f'{count} {what}' for what, count in counts.items())}")
        return 1 if counts["FAILED"] else 0
    return 0 if counts["as it should be"] == len(options.file) else 1


def main(arguments=None):
    """The program."""
    options = parser().parse_args(arguments)
    return ended("answers", lambda: run(options))
