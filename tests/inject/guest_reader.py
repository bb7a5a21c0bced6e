#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The kernel's own unpacker as a reader of what inject-initrd has made: some results are kept here, each with a program in front of it, and
what that program of a guest has packed up (tests/lab boots it) is compared with what inject-initrd takes the result for.

Usage: tests/inject/guest_reader.py DIRECTORY, which has NAME.initrd, NAME.json, and of the guest NAME.tar.gz and NAME.console.
Exit status: 0 when the kernel has made of each what was expected."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

# Where they are kept, if they are.
SAMPLES = os.environ.get("INJECT_SAMPLES")
PLACE = ".reader"
# The kernel unpacks it first. Nothing is mounted, so that all there is comes of the archives.
INIT = f"""\
#!/{PLACE}/busybox sh
b=/{PLACE}/busybox
$b mknod /{PLACE}/out c 4 65
$b stty -F /{PLACE}/out raw
cd /
set --
for name in * .[!.]* ..?*; do
	case $name in {PLACE}) continue ;; esac
	if [ -e "$name" ] || [ -L "$name" ]; then set -- "$@" "./$name"; fi
done
$b tar -c "$@" | $b gzip -1 >/{PLACE}/out
$b poweroff -f
"""
KINDS = {
    tarfile.DIRTYPE: "dir",
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}
# Owners above this tar does not show; -1 leaves a file root's.
LARGEST_ID = (1 << 21) - 1
# What tar does not pack up; and what the kernel has in an archive of its own.
UNPACKED = ("socket",)
OWN = ("dev", "dev/console", "root", "")
COMPLAINTS = ("Initramfs unpacking failed", "initramfs name", "rootfs image is not initramfs")


def front(work):
    """The archive with the program, padded so that what stands behind it is as aligned as before."""
    top = work / "front" / PLACE
    top.mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", top / "busybox")
    (top / "init").write_text(INIT)
    (top / "init").chmod(0o755)
    names = "".join(f"{name}\n" for name in (PLACE, f"{PLACE}/busybox", f"{PLACE}/init"))
    command = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"]
    done = subprocess.run(command, input=names.encode(), cwd=work / "front", capture_output=True, check=True)
    shutil.rmtree(work / "front")
    return done.stdout + bytes(-len(done.stdout) % 4096)


def keep(name, what, result, tree, work):
    """Keeps a result and the tree that is expected of it, as inject.initrd has it."""
    directory = Path(SAMPLES)
    (directory / f"{name}.initrd").write_bytes(front(work) + result.read_bytes())
    (directory / f"{name}.json").write_text(json.dumps({"what": what, "tree": {path: dataclasses.asdict(entry) for path, entry in tree.items()}}))


def unpacked(path):
    """Returns what the kernel has made, as {path: attributes}."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.removeprefix("./").rstrip("/")
            real = archive.getmember(member.linkname) if member.type == tarfile.LNKTYPE else member
            one = {"kind": KINDS[real.type], "mode": real.mode, "uid": real.uid, "gid": real.gid}
            if one["kind"] == "link":
                one["link"] = real.linkname
                # A link's own mode is the kernel's.
                del one["mode"]
            if one["kind"] == "file":
                one["sha256"] = hashlib.sha256(archive.extractfile(real).read()).hexdigest()
            found["" if name == "." else name] = one
    return found


def differences(expected, found):
    """Returns what differs between the two, as sentences."""
    for path, entry in expected.items():
        if entry["kind"] in UNPACKED or path == "":
            continue
        if path not in found:
            yield f"the kernel has made no {path!r}, expected a {entry['kind']}"
        elif wrong := [
            f"{key} {value!r} instead of {entry[key]!r}"
            for key, value in found[path].items()
            if entry[key] != value and not (key in ("uid", "gid") and entry[key] > LARGEST_ID)
        ]:
            yield f"{path!r} has {', '.join(wrong)}"
    for path in found:
        if path not in expected and path not in OWN:
            yield f"the kernel has made {path!r}, which was not expected"


def compare(sample):
    """All that is wrong with one that a guest has unpacked."""
    expected = json.loads(sample.read_text())
    console = sample.with_suffix(".console").read_text(errors="replace")
    problems = [line for line in console.splitlines() if any(one in line for one in COMPLAINTS)]
    try:
        problems += differences(expected["tree"], unpacked(sample.with_suffix(".tar.gz")))
    except (OSError, EOFError, tarfile.TarError) as error:
        problems.append(f"what the guest has packed up cannot be read: {error}")
    return [f"{expected['what']}: {problem}" for problem in problems]


def main(directory):
    """Compares all of them."""
    samples = sorted(Path(directory).glob("*.json"))
    wrong = {sample: problems for sample in samples if (problems := compare(sample))}
    for problems in wrong.values():
        print("\n".join([*problems[:5], *([f"and {len(problems) - 5} more"] if len(problems) > 5 else [])]), file=sys.stderr)
    print(f"{len(samples)} results unpacked by the kernel: {len(samples) - len(wrong)} as expected")
    return 1 if wrong or not samples else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
