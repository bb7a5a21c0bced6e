# SPDX-License-Identifier: GPL-2.0
"""Files: what is added where, what is written where, by whom it can be read, and what is left: faults of the field test, by their numbers there."""

import os
import shutil
import signal
import stat
import struct
import subprocess
import time
from pathlib import Path

from support import (
    INSTALLER,
    KERNEL,
    KVER,
    MODULE,
    PROGRAM,
    Case,
    cut,
    decompress,
    hand_made,
    inject,
    like_the_kernel,
    listing,
    pack,
    program_for,
    small_initrd,
    tree,
)


class Files(Case):
    def setUp(self):
        super().setUp()
        self.initrd = small_initrd(self.dir / "small", self.dir / "initrd")
        self.out = self.dir / "out"
        self.source = self.dir / "answers"
        self.source.write_text("x\n")

    def added(self, destination, initrd=None):
        """Returns where a file has come to, and the tree."""
        self.inject("--file", f"{self.source}:{destination}", initrd or self.initrd, "-o", self.out)
        shutil.rmtree(self.dir / "root", ignore_errors=True)
        return like_the_kernel(self.out, self.dir)

    def test_a_link_to_a_directory_is_a_directory(self):
        """F3: /lib and /bin are links today, and must not become files."""
        for destination in ("/lib", "/lib/", "/bin", "lib/."):
            root = self.added(destination)
            name = destination.strip("/.")
            self.assertTrue((root / name).is_symlink(), destination)
            self.assertEqual((root / "usr" / name / "answers").read_text(), "x\n", destination)

    def test_a_slash_at_the_end_means_into_it(self):
        """F3: also where there is nothing yet, and at the root."""
        for destination, path in (("/new/", "new/answers"), ("/", "answers"), ("/lib/new/", "usr/lib/new/answers"), ("/new", "new")):
            root = self.added(destination)
            self.assertTrue((root / path).is_file(), destination)

    def test_what_is_replaced_but_no_file_is_told_or_refused(self):
        """F3's siblings: a link to a file, a link to nowhere, a directory below a file."""
        top = tree(self.dir / "links", {"bin/busybox": b"x", "init": b"x", "to-file": ("init",), "to-nowhere": ("nowhere",)})
        os.mkfifo(top / "pipe")
        initrd = pack(top, self.dir / "links.gz")
        for name in ("to-file", "to-nowhere"):
            outcome = self.inject("--file", f"{self.source}:/{name}", initrd, "-o", self.out)
            self.assertIn(f"/{name} was a symbolic link", outcome.out)
        self.refuse(3, "--file", f"{self.source}:/pipe", initrd, "-o", self.dir / "none", says=["/pipe"])
        self.refuse(3, "--file", f"{self.source}:/init/", initrd, "-o", self.dir / "none", says=["expected a directory"])

    def test_several_new_directories_and_files_at_the_root(self):
        """The second was put into the first: exit status 5, an error of inject-initrd."""
        new = [option for name in ("a/x", "b/y", "c", "d/e/f") for option in ("--file", f"{self.dir / 'new'}:/{name}")]
        (self.dir / "new").write_bytes(b"new\n")
        self.inject(*new, small_initrd(self.dir / "other", self.dir / "s"), "-o", self.dir / "out")
        root = like_the_kernel(self.dir / "out", self.dir)
        self.assertEqual([(root / name).read_bytes() for name in ("a/x", "b/y", "c", "d/e/f")], [b"new\n"] * 4)

    def test_an_output_that_is_no_file_is_left_alone(self):
        """F4: -o /dev/sdX, as somebody with a stick types it."""
        pipe = self.dir / "pipe"
        os.mkfifo(pipe)
        (self.dir / "to-pipe").symlink_to(pipe)
        for path in (pipe, self.dir / "to-pipe", "/dev/null", "/dev/zero"):
            before = os.stat(path)
            self.refuse(2, "--file", f"{self.source}:/x", self.initrd, "-o", path, says=["expected a file or nothing"])
            self.assertEqual(stat.S_IFMT(os.stat(path).st_mode), stat.S_IFMT(before.st_mode))
        self.refuse(2, "--file", f"{self.source}:/x", self.initrd, "-o", "/dev/sdzz", says=["/dev"])
        self.refuse(2, "--file", f"{self.source}:/x", self.initrd, "-o", self.dir, says=["is a directory"])
        self.assertFalse(os.path.exists("/dev/sdzz"))

    def test_an_output_that_is_a_link_is_written_behind_it(self):
        """F4's sibling: the link stays."""
        for target in ("behind", "not-there-yet"):
            link = self.dir / f"link-{target}"
            link.symlink_to(target)
            if target == "behind":
                (self.dir / target).write_text("old")
            self.inject("--file", f"{self.source}:/x", self.initrd, "-o", link)
            self.assertTrue(link.is_symlink())
            self.assertEqual(inject("--list", self.dir / target).status, 0)

    def test_the_result_is_readable_by_no_more_users_than_what_is_in_it(self):
        """F5: dracut and others write 0600, because keys may be inside."""
        for mode, wanted in ((0o600, 0o600), (0o640, 0o640), (0o644, 0o644), (0o400, 0o600)):
            self.initrd.chmod(mode)
            for action in ("--append", "--repack"):
                self.inject("--file", f"{self.source}:/x", action, self.initrd, "-o", self.out)
                self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), wanted, oct(mode))
        self.initrd.chmod(0o644)
        self.source.chmod(0o600)
        self.inject("--file", f"{self.source}:/x", self.initrd, "-o", self.out)
        self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), 0o600)

    def test_the_mask_of_an_access_control_list_is_no_mode_of_the_group(self):
        """The group's bits in a mode are what the most in such a list may: the result was readable by the group."""
        self.source.chmod(0o600)
        # u::rw- u:1234:r-- g::--- m::r-- o::---
        entries = ((0x01, 6, -1), (0x02, 4, 1234), (0x04, 0, -1), (0x10, 4, -1), (0x20, 0, -1))
        acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
        try:
            os.setxattr(self.source, "system.posix_acl_access", acl)
        except OSError as error:
            self.skipTest(f"no access control lists in {self.dir}: {error}")
        self.assertEqual(stat.S_IMODE(self.source.stat().st_mode), 0o640)
        said = self.inject("--file", f"{self.source}:/x", self.initrd, "-o", self.out).out
        self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), 0o600)
        self.assertIn("has an access control list (getfacl shows it), which no initrd can hold", said)

    def test_capabilities_of_an_added_file_are_not_lost_unsaid(self):
        """They are beside the mode, and no archive that the kernel unpacks has them."""
        self.source.chmod(0o755)
        self.assertNotIn("capabilities", self.inject("--file", f"{self.source}:/bin/x", self.initrd, "-o", self.out).out)
        try:
            # cap_net_raw, permitted and effective.
            os.setxattr(self.source, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
        except OSError as error:
            self.skipTest(f"no capabilities can be set in {self.dir}: {error}")
        said = self.inject("--file", f"{self.source}:/bin/x", self.initrd, "-o", self.out).out
        self.assertIn(f"{self.source} has capabilities (getcap shows them), which no initrd can hold: /usr/bin/x is there without", said)

    def test_a_module_that_others_may_not_read_counts_too(self):
        """F5: it is in the result, which is then for its owner alone."""
        module = self.dir / MODULE.name
        shutil.copy(MODULE, module)
        module.chmod(0o600)
        self.inject("--module", module, self.initrd, "-o", self.out)
        self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), 0o600)

    def test_the_umask_is_heeded(self):
        """F5: umask 077 makes 0600."""
        before = os.umask(0o077)
        try:
            self.inject("--file", f"{self.source}:/x", self.initrd, "-o", self.out)
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), 0o600)

    def test_modes_of_added_files_are_kept(self):
        """F5: a key of 0600 stays one of 0600, and setuid is not lost unsaid."""
        for mode in (0o600, 0o400, 0o644, 0o755, 0o4755):
            self.source.chmod(mode)
            self.inject("--file", f"{self.source}:/x", "--repack", self.initrd, "-o", self.out)
            shown = stat.filemode(stat.S_IFREG | mode)
            piece = cut(self.out, 0, self.out.stat().st_size, self.dir / "piece")
            decompress(piece, "gzip", self.dir / "plain")
            self.assertEqual(listing(self.dir / "plain")["x"].split()[0], shown)
        os.chown(self.source, 1, 1)
        self.source.chmod(0o4755)
        self.refuse(2, "--file", f"{self.source}:/x", self.initrd, "-o", self.dir / "none", says=["setuid"])

    def test_what_is_changed_inside_keeps_its_mode(self):
        """F5: a list of modules of 0600, which gets a line more, was one of 0644 afterwards."""
        top = self.dir / "small"
        indexed = [f"usr/lib/modules/{KVER}/{name}" for name in ("modules.dep", "modules.dep.bin")]
        for name in ("etc/modules", indexed[0]):
            (top / name).chmod(0o600)
        initrd = pack(top, self.dir / "private")
        for mode in ("--append", "--repack"):
            self.inject("--module", MODULE, mode, initrd, "-o", self.out)
            root = like_the_kernel(self.out, self.dir)
            self.assertIn("r8168_rust", (root / "etc/modules").read_text())
            modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in ("etc/modules", *indexed)}
            self.assertEqual(modes, {"etc/modules": 0o600, indexed[0]: 0o600, indexed[1]: 0o644}, mode)
            shutil.rmtree(root)

    def test_a_file_that_nothing_finds_or_runs_is_told(self):
        """A module put there by --file is in no index, and a program may be for another machine (F1)."""
        for machine, mode, said in ((183, 0o755, True), (3, 0o755, False), (62, 0o755, False), (183, 0o644, False)):
            self.source.write_bytes(program_for(machine))
            self.source.chmod(mode)
            initrd = hand_made(self.dir / f"i-{machine}-{mode}", self.dir / "i.gz", {"usr/bin/busybox": program_for(62)})
            out = self.inject("--file", f"{self.source}:/usr/bin/x", initrd, "-o", self.out).out
            self.assertEqual("/usr/bin/x is for arm64, the programs in the initrd are for x86_64" in out, said, f"{machine} {mode:o}")
        for place, said in ((f"/lib/modules/{KVER}/updates/", True), ("/extra/", False)):
            out = self.inject("--file", f"{MODULE}:{place}", self.initrd, "-o", self.out).out
            self.assertEqual("for no index has it; put it there by --module" in out, said, place)

    def full(self, *arguments, size="300k"):
        """A run with a TMPDIR that is full soon."""
        mount = self.dir / "full"
        mount.mkdir(exist_ok=True)
        script = f'mount -t tmpfs -o size={size} none "$1" && export TMPDIR="$1" && shift && "$@"; status=$?; ls -A "$TMPDIR" >&2; exit $status'
        command = ["unshare", "-rm", "sh", "-c", script, "sh", str(mount), str(PROGRAM), *(str(one) for one in arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_a_full_directory_of_temporary_files_is_named(self):
        """F8: whatever is written there, by whichever program; the initrd is not damaged by that."""
        plain = gzip_of(self.initrd)
        for command in (["gzip", "-nc"], ["zstd", "-qc"], ["lz4", "-lqc"], ["bzip2", "-c"], ["xz", "--check=crc32", "-c"], ["cat"]):
            initrd = self.dir / command[0]
            initrd.write_bytes(subprocess.run(command, input=plain, capture_output=True, check=True).stdout)
            done = self.full("--file", f"{MODULE}:/x", "--repack", initrd, "-o", self.dir / "none")
            self.assertEqual(done.returncode, 5, f"{command}: {done.stderr}")
            self.assertIn("TMPDIR", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_a_lost_connection_leaves_nothing(self):
        """F17: SIGHUP, as SIGTERM; where it is ignored, as below nohup, the program goes on."""
        options = ["--module", str(MODULE), "--kernel", str(KERNEL / "vmlinuz"), "--modules", str(KERNEL)]
        command = [str(PROGRAM), *options, str(INSTALLER / "initrd.gz"), "-o", str(self.out)]
        environment = {**os.environ, "TMPDIR": str(self.dir / "tmp")}
        heard = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **heard) as running:
            while running.poll() is None and not any((self.dir / "tmp").iterdir()):
                time.sleep(0.05)
            running.send_signal(signal.SIGHUP)
            running.send_signal(signal.SIGHUP)
            errors = running.communicate(timeout=60)[1]
        self.assertEqual((running.returncode, errors), (129, ""))
        self.assertEqual(list((self.dir / "tmp").iterdir()), [])
        self.assertEqual([path.name for path in self.dir.iterdir() if "out" in path.name], [])

    def test_a_reader_that_goes_away(self):
        """F17's sibling: a closed pipe, and a full one."""
        for arguments in (["--list", str(self.initrd)], ["--help"], ["--json", "--list", str(self.dir / "none")]):
            done = subprocess.run(
                ["bash", "-c", f'(sleep 0.2; {PROGRAM} "$@"; echo $? >&2) | true', "sh", *arguments], capture_output=True, text=True, check=False
            )
            self.assertNotIn("Traceback", done.stderr)
            self.assertNotIn("Exception", done.stderr)
            self.assertIn(done.stderr.split()[-1], ("141", "2"))
        done = subprocess.run(["sh", "-c", f'{PROGRAM} --list "$1" >/dev/full', "sh", str(self.initrd)], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, "Traceback" in done.stderr), (5, False), done.stderr)

    def test_what_is_added_beyond_the_limit_is_named(self):
        """F17: --limit is the cause, so it is in the message."""
        with open(self.source, "wb") as file:
            file.truncate(80 << 20)
        self.refuse(5, "--limit", "64", "--file", f"{self.source}:/x", self.initrd, "-o", self.dir / "none", says=["--limit"])

    def test_a_file_that_cannot_be_read_is_named(self):
        """F17: by the option that names it."""
        self.refuse(2, "--file", f"{self.dir}:/x", self.initrd, "-o", self.dir / "none", says=["--file", "directory"])
        program = program_of_another(self.source) if os.getuid() == 0 else PROGRAM
        if program is None:
            self.skipTest("only root can run it here")
        self.source.chmod(0)
        for path in (self.dir, self.dir / "tmp"):
            path.chmod(0o777)
        done = as_another([str(program), "--file", f"{self.source}:/x", str(self.initrd), "-o", str(self.dir / "none")], TMPDIR=str(self.dir / "tmp"))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("cannot read", done.stderr)


def gzip_of(path):
    """The content of a gzipped file."""
    return subprocess.run(["gzip", "-dc", str(path)], capture_output=True, check=True).stdout


def as_another(command, **environment):
    """Runs a program as a user who is not root."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        preexec_fn=lambda: (os.setgid(65534), os.setuid(65534)),
    )


def program_of_another(path):
    """Returns the program by a path that another user can follow, and lets users into the directory of `path`; None if there is none."""
    os.chmod(os.path.dirname(path), 0o755)
    # The toolbox has the checkout there too, and it may stand in a directory of root's.
    for program in (PROGRAM, Path("/r8168_rust/scripts/inject-initrd")):
        try:
            if as_another([str(program), "--help"]).returncode == 0:
                return program
        except (OSError, subprocess.SubprocessError):
            continue
    return None
