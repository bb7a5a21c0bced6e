# SPDX-License-Identifier: GPL-2.0
"""The command line of inject-initrd, and its report."""

import argparse
import errno
import io
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from . import output
from .answer import answer
from .errors import DamagedError, OperationError, UsageError, UserError
from .flavours import FLAVOURS, flavour_of
from .initrd import Initrd, sha256_of
from .module import read_module
from .plan import Planner, is_file_name
from .request import checked
from .tree import CLASSES

HELP = """\
Puts kernel modules, PCI ids and files into an initrd, and makes sure that they are found there. Takes the initrds of the
Debian installer, Anaconda, dracut, systemd, initramfs-tools, busybox, tiny-initramfs and the Anaconda of RHEL 4 times, compressed by gzip, xz,
zstd, lz4, bzip2, lzma or not at all, with or without microcode in front. Needs no root. The original is never changed; the
result is read back and compared before it gets its name, and is the same bytes every time.
"""

EPILOG = """\
examples:
  a driver into the installer that has the same kernel:
    inject-initrd --module r8168_rust.ko initrd.gz -o initrd-new.gz
  and with another kernel, where the driver cannot be built for that one or a newer kernel is wanted (boot the result with it):
    inject-initrd --module r8168_rust.ko --kernel /boot/vmlinuz-7.3.4 --modules /lib/modules/7.3.4 initrd.gz -o initrd-new.gz
  a PCI id for a driver that is inside already:
    inject-initrd --alias-only r8169=10ec:8168 initrd.gz -o initrd-new.gz
  an answer file:
    inject-initrd --file preseed.cfg:/preseed.cfg initrd.gz -o initrd-new.gz
  all network drivers of a kernel, as a second initrd for the boot loader, beside an original that stays as it is:
    inject-initrd --class net --modules /lib/modules/7.3.4 --overlay initrd.img -o net-drivers.cpio.gz
  does it drive this card?
    inject-initrd --verify 10ec:8168 initrd-new.gz --kernel /boot/vmlinuz-7.3.4
  what is in it:
    inject-initrd --list initrd.gz

exit status:
  0  done
  1  the initrd is damaged, truncated or of a form that the kernel does not take
  2  wrong or contradictory options, or a file named in them is not what it should be
  3  a module does not fit the kernel, the initrd has no place for it, or nothing in it drives what --verify asks for
  4  a program is missing on this machine; the package that has it is named
  5  writing failed, or the result did not read back as it should; no file is left behind (but if only the report could not be written)
  129, 130, 131, 143  the connection was lost (SIGHUP), interrupted, or ended by SIGQUIT or SIGTERM; no file is left behind
  141  done, but what read the report has gone

SOURCE_DATE_EPOCH sets the time of what is added; without it, that is the newest time in the initrd. TMPDIR is where
temporary files go, about three times the size of the initrd's content.
"""


class Parser(argparse.ArgumentParser):
    """One that refuses as all else does: in one line, and as JSON if that is asked for."""

    def error(self, message):
        raise UsageError(f"{message} (try --help)")

    def _print_message(self, message, file=None):  # noqa: ARG002 # argparse passes it
        if status := _say(message.rstrip("\n")):
            sys.exit(status)


def parser():
    """The options; --help is enough to use the program."""
    result = Parser(prog="inject-initrd", description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    add = result.add_argument
    add("question", metavar="QUESTION", nargs="?", help="with --verify: what is to be driven, a PCI id (10ec:8168), a modalias or a module's name")
    add("initrd", metavar="INITRD", help="the initrd to start from")
    add(
        "-o",
        "--output",
        metavar="OUT",
        help="the initrd to be made; may exist as a file, but not INITRD or one that goes into it; readable only by users who may read INITRD and each SRC",
    )
    add("--module", metavar="FILE", action="append", default=[], help="a module to add, with what it depends on; or the name of one in --modules (repeatable)")
    add(
        "--alias-only",
        metavar="DRIVER=ID",
        action="append",
        default=[],
        help="have a driver that is inside already loaded for a PCI id, VENDOR:DEVICE (repeatable)",
    )
    add("--file", metavar="SRC:DEST", action="append", default=[], help="a file to add, owned by root, its mode kept; DEST may be a directory (repeatable)")
    kinds = sorted(CLASSES)
    add(
        "--class",
        metavar="CLASS",
        dest="driver_class",
        choices=kinds,
        help="add all drivers of a class (net) that --modules has; the firmware that they name is listed",
    )
    add(
        "--kernel",
        metavar="IMAGE",
        help="the kernel that is booted: symbols are compared with it; modules of another version are swapped for those of --modules",
    )
    add(
        "--modules", metavar="TREE", help="/lib/modules/VERSION of that kernel, or a directory that has it below lib/modules: where dependencies are taken from"
    )
    add("--symvers", metavar="FILE", help="Module.symvers of the kernel, to compare symbols (and their versions) with")
    add("--flavour", choices=sorted(FLAVOURS), help="what the initrd is, if it is not recognised")
    mode = result.add_mutually_exclusive_group()
    mode.add_argument("--append", action="store_true", help="add a segment behind the original bytes (the default, except when the kernel is swapped)")
    mode.add_argument("--repack", action="store_true", help="write the archive anew: nothing replaced is left in it")
    mode.add_argument(
        "--overlay",
        action="store_true",
        help="write the added segment alone, which a boot loader loads behind INITRD: cpio, or tar for an OUT like x.tar.gz (Ventoy)",
    )
    action = result.add_mutually_exclusive_group()
    action.add_argument("--list", action="store_true", help="only say what the initrd is: segments, flavour, kernels")
    action.add_argument(
        "--verify", action="store_true", help="only check that the initrd is sound, that each --module in it would be loaded, and what drives QUESTION there"
    )
    action.add_argument("--dry-run", action="store_true", help="check everything, say what would be done, write nothing")
    add("--json", action="store_true", help="report on standard output as one JSON object, also errors")
    add("--limit", metavar="MIB", type=int, default=4096, help="the most that the initrd may decompress to (default 4096)")
    return result


def _describe(initrd, flavour):
    kernels = initrd.kernels()
    return {
        "path": str(initrd.path),
        "bytes": initrd.path.stat().st_size,
        "sha256": sha256_of(initrd.path),
        "flavour": flavour,
        "entries": len(initrd.tree),
        "segments": [
            {"offset": part.offset, "end": part.end, "compression": part.compression, "content": part.size(), "microcode": early}
            for part, early in zip(initrd.segments, initrd.early)
        ],
        "kernels": {release: len(modules) for release, modules in sorted(kernels.items())},
        "problems": initrd.problems,
        "inner_root": initrd.inner_root(),
    }


def _verify(initrd, request, workdir):
    """That each module is there and loads; reading has checked the rest."""
    checks = []
    for number, name in enumerate(request.module):
        wanted = read_module(name).name if is_file_name(name) else name.replace("-", "_")
        (workdir / f"module-{number}").mkdir()
        checks += [line.strip() for line in answer(initrd, wanted, request, workdir / f"module-{number}")]
    if initrd.problems:
        raise OperationError(initrd.problems[0])
    return checks


def run(request, workdir):
    """Does what is asked for; returns the report."""
    initrd = Initrd(request.initrd, workdir / "initrd", request.limit)
    if request.list or request.verify:
        try:
            flavour = flavour_of(initrd, request.flavour)
        except UserError:
            flavour = "unknown"
        report = {"initrd": _describe(initrd, flavour)}
        if request.verify:
            report["checks"] = _verify(initrd, request, workdir)
            if request.question is not None:
                report["answer"] = answer(initrd, request.question, request, workdir)
        return report
    plan = Planner(initrd, request, workdir).make()
    plan.notes += initrd.problems
    repack = request.repack or (bool(plan.removed) and not request.append and not request.overlay)
    if repack and initrd.left_out:
        # Others than the kernel would make of these entries what it does not.
        raise DamagedError(f"{initrd.left_out[0]}; until then it is not written anew, only --append is possible")
    if request.overlay and not plan.additions:
        raise UsageError("there is nothing to add, so an overlay would be empty; the initrd is what is wanted already")
    if request.overlay:
        wanted, main = output.form_of(request.output or "")[1], output.main_compression(initrd)
        if wanted not in (None, "none", "gzip", main):
            plan.notes.append(f"it is compressed by {wanted}, as its name says, the initrd by {main}: the kernel has to know both")
        plan.notes.append("have it loaded behind the initrd: GRUB: initrd INITRD OUT; iPXE: a second initrd line; Ventoy: its injection plugin")
    if plan.removed and not repack:
        plan.notes.append("appended only: the old kernel's modules stay in the initrd, of no use; --repack removes them")
    report = {
        "initrd": _describe(initrd, plan.flavour),
        "mode": "overlay" if request.overlay else "repack" if repack else "append",
        "kernel": plan.release,
        "checks": plan.checks,
        "added": [addition.path for addition in plan.additions],
        "removed": plan.removed if repack else [],
        "left_out": {why: names for why, names in plan.left_out.items() if names},
        "firmware": plan.firmware,
        "notes": plan.notes,
    }
    if not request.dry_run and request.overlay:
        report["output"] = output.write_overlay(initrd, plan, request.output, workdir, request.limit)
    elif not request.dry_run:
        report["output"] = output.write(initrd, plan, request.output, repack, workdir, request.limit)
    return report


def _lines(report, options):
    """The report for people."""
    initrd = report["initrd"]
    yield f"{initrd['path']}: {FLAVOURS.get(initrd['flavour'], initrd['flavour'])}, {initrd['entries']} entries"
    if options.list or options.verify:
        for part in initrd["segments"]:
            early = ", microcode" if part["microcode"] else ""
            yield f"  segment at {part['offset']}: {part['end'] - part['offset']} bytes, {part['compression']}, {part['content']} unpacked{early}"
        for release, count in initrd["kernels"].items():
            yield f"  kernel {release}: {count} modules"
        if initrd["inner_root"]:
            yield f"  root: its init makes the root of /{initrd['inner_root']}, and throws away all that is beside it"
        yield from (f"  problem: {problem}" for problem in initrd["problems"])
    yield from (f"  checked: {check}" for check in report.get("checks", []))
    yield from (f"  {line}" for line in report.get("answer", []))
    yield from (f"  removed: {path}" for path in report.get("removed", []))
    added = report.get("added", [])
    yield from (f"  added: {path}" for path in added[:12])
    if len(added) > 12:
        yield f"  added: {len(added) - 12} more (--json lists them)"
    for why, names in report.get("left_out", {}).items():
        yield f"  left out, {why}: {', '.join(names[:12])}{f' and {len(names) - 12} more' if len(names) > 12 else ''}"
    if firmware := report.get("firmware"):
        more = f" and {len(firmware) - 12} more (--json lists them)" if len(firmware) > 12 else ""
        names = ", ".join(firmware[:12])
        yield f"  firmware that these drivers may ask for, and that is not in the initrd: {names}{more}; add it by --file FILE:/lib/firmware/..."
    yield from (f"  note: {note}" for note in report.get("notes", []))
    if "added" in report and not added and not report.get("removed"):
        yield "  nothing to add: all of it is there already"
    if out := report.get("output"):
        if out["mode"] != "0644":
            yield f"  mode {out['mode']}: readable by no more users than what went into it; chmod it if a server is to read it"
        yield f"{out['path']}: {out['bytes']} bytes, SHA-256 {out['sha256']}, read back and compared"
    elif options.verify:
        yield "  sound"
    elif options.dry_run:
        yield "  nothing written (--dry-run)"


# The signals that end the program in good order.
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def _end(number, _frame):
    # Once is enough: another one must not stop what is cleaning up.
    for one in _ENDING:
        signal.signal(one, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _workdir():
    """Makes the directory for temporary files. No signal comes between that and the moment from which it is removed at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        return tempfile.TemporaryDirectory(prefix="inject-initrd-")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _printable(text):
    """Text in which names out of an archive make no line of their own, and draw nothing on the terminal."""
    return "".join(one if one.isprintable() or "\ud800" <= one <= "\udfff" else ascii(one)[1:-1] for one in text)


def _say(text):
    """Writes the report. A reader that has gone, as `head` has, takes nothing from what was done."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The interpreter would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (OSError, UnicodeError) as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail(argparse.Namespace(json=False), OperationError.status, f"done, but the report cannot be written: {error}")
    return 0


def main(arguments=None):
    """The program."""
    # Names out of an archive may be no UTF-8.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = parser().parse_intermixed_args(arguments)
    except UsageError as error:
        return _fail(argparse.Namespace(json="--json" in arguments), error.status, str(error))
    # A user who gives up, or whose connection is lost, must not find temporary files or half an initrd.
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        with _workdir() as workdir:
            report = run(checked(options), Path(workdir))
    except UserError as error:
        return _fail(options, error.status, str(error))
    except KeyboardInterrupt:
        return _fail(options, 130, "interrupted; nothing was left behind")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = tempfile.gettempdir()
            text = f"no room left for temporary files in {where}, about three times the initrd's content is needed; set TMPDIR to a directory with more"
            return _fail(options, OperationError.status, f"{text}; nothing was left behind")
        name = f"{error.filename}: " if error.filename else ""
        return _fail(options, OperationError.status, f"{name}{error.strerror or error}; nothing was left behind")
    except MemoryError:
        return _fail(options, 1, "this needs more memory than allowed; the initrd is damaged or no initrd")
    if options.json:
        return _say(json.dumps(report, indent=2, sort_keys=True, default=os.fspath))
    return _say("\n".join(_printable(line) for line in _lines(report, options)))


def _fail(options, status, message):
    if options.json:
        _say(json.dumps({"error": message, "status": status}))
    try:
        # In one line, whatever is in a name. Without a standard error print() would take standard output.
        if sys.stderr is not None:
            print(f"inject-initrd: error: {_printable(message)}", file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return status
