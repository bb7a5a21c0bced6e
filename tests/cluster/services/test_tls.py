# SPDX-License-Identifier: GPL-2.0
"""Secrets of nodes: over TLS, from the head node whose certificate they have, and in no other way."""

import os
import pty
import re
import shutil
import signal
import socket
import time
import unittest

from support import MAC, PLAN, Case, Plan, run, tree

from archive.errors import UserError
from cluster.keys import tls_pair

OTHER = "52:54:00:81:11:11"
# What has the node's program see what it sees in its initramfs or in the installer: its own root, and the programs of this system.
ENTER = """
import ctypes, os, sys
root, *command = sys.argv[1:]
os.unshare(os.CLONE_NEWNS)
for name in ("usr", "dev"):
    # MS_BIND and MS_REC.
    if ctypes.CDLL(None).mount(f"/{name}".encode(), f"{root}/{name}".encode(), None, 0x5000, None):
        sys.exit(f"cannot mount {name}")
os.chroot(root)
os.chdir("/")
os.execvpe(command[0], command, {"PATH": "/extra:/usr/bin:/bin", "rootmnt": "/root"})
"""


class Secrets(Case):
    """The nodes: compute-0-0 is installed, compute-0-1 has no disk."""

    def setUp(self):
        super().setUp()
        text = PLAN.path.read_text().replace("[modes]\n", "[modes]\ncompute-0-1 = diskless\n").replace("slurm = no", "slurm = yes")
        (self.dir / "cluster.conf").write_text(text)
        self.plan = Plan(self.dir / "cluster.conf")
        for name in ("boot/diskless-initrd", "boot/root.squashfs"):
            (tree(self.dir / "tree") / name).write_text("a root")
        index = self.dir / "tree/mirror/dists/trixie/main/binary-amd64/Packages"
        index.parent.mkdir(parents=True)
        index.write_text("".join(f"Package: {name}\n" for name in self.plan.packages()))
        (self.dir / "tree/boot/root.packages").write_text("".join(f"{name}\n" for name in self.plan.packages()))
        self.served = self.head(self.plan)
        self.get(f"/ipxe?mac={MAC}")

    def be_diskless(self):
        """Is the node without a disk from here on; returns what comes beside its initrd."""
        self.be(OTHER, "10.1.254.8")
        script = self.get(f"/ipxe?mac={OTHER}")[1]
        return self.get(re.search(r"initrd (http://\S+) /node mode=700\n", script)[1])[1]

    def root(self):
        """The root of a program that runs on a node."""
        root = self.dir / "node"
        shutil.rmtree(root, ignore_errors=True)
        for name in "usr dev tmp extra etc run/live/medium/live root/etc/apt/trusted.gpg.d root/etc/ssh root/etc/default target/root".split():
            (root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        (root / "extra/wget-tls").symlink_to("/usr/bin/wget")
        (root / "root/etc/passwd").write_text("munge:x:0:0::/:/bin/false\n")
        (root / "run/live/medium/live/root.squashfs").write_text("a root")
        return root

    def enter(self, root, *command):
        """Runs a program there, on the machine."""
        return self.inside("python3", "-Bc", ENTER, root, *command)

    def boot(self, script):
        """Runs what comes beside the initrd as the initramfs does; returns its root."""
        root = self.root()
        (root / "node").write_text(script)
        (root / "node").chmod(0o700)
        self.enter(root, "/node")
        return root

    def test_without_tls_they_are_refused_by_one_line(self):
        for path in ("/preseed/compute-0-0", "/compute", "/node/compute-0-0", "/kickstart/compute-0-0", "/%70reseed/compute-0-0"):
            for forged in ((), ("--header", "X-Tls: yes")):
                with self.subTest(path, forged=forged):
                    status, text = self.get(path, *forged)
                    self.assertEqual(status, 403)
                    self.assertRegex(text, r"^/[a-z]+ is answered over TLS only: https://10\.1\.1\.1/[a-z]+\n$")
        journal = (self.served.directory / "nodes/compute-0-0/journal").read_text()
        self.assertIn("403 /preseed/compute-0-0: asked without TLS", journal)

    def test_what_is_no_secret_needs_no_tls_and_files_come_without_it(self):
        for path in ("/boot/linux", "/key", "/certificate", "/wgetrc", f"/ipxe?mac={MAC}"):
            self.assertEqual(self.get(path)[0], 200, path)
        self.assertEqual(self.secret("/key"), self.get("/key"))
        self.assertEqual(self.secret("/boot/linux")[0], 404)
        for text in (self.get(f"/ipxe?mac={MAC}")[1], self.be_diskless()):
            self.assertNotIn("PRIVATE", text)
            self.assertNotIn((self.served.directory / "slurm/munge.key").read_text() if (self.served.directory / "slurm").exists() else "PRIVATE", text)

    def test_another_machine_gets_nothing(self):
        self.assertIn("munge.key", self.secret("/compute")[1])
        self.be("02:00:00:00:00:99", "10.1.255.254")
        for path in ("/preseed/compute-0-0", "/compute", "/node/compute-0-1", "/pinned/compute-0-1"):
            self.assertEqual(self.secret(path, "--header", "X-Address: 10.1.254.9"), (404, ""), path)

    def test_a_diskless_node_fetches_its_script_and_does_what_it_says(self):
        root = self.boot(self.be_diskless())
        self.assertIn("PRIVATE KEY", (root / "root/etc/ssh/ssh_host_ed25519_key").read_text())
        self.assertEqual((root / "root/etc/munge/munge.key").read_text(), (self.served.directory / "slurm/munge.key").read_text())
        self.assertFalse((root / "own").exists())

    def test_a_head_node_with_another_key_is_refused(self):
        script = self.be_diskless()
        self.served.stop()
        shutil.rmtree(self.served.directory / "tls")
        self.head(self.plan)
        self.be(OTHER, "10.1.254.8")
        self.assertNotIn(self.get("/certificate")[1], script)
        with self.assertRaisesRegex(UserError, r"https://10\.1\.1\.1/node/compute-0-1 cannot be fetched \(5\): .* or another machine does"):
            self.boot(script)
        self.assertFalse((self.dir / "node/root/etc/ssh/ssh_host_ed25519_key").exists())
        self.assertEqual(self.boot(self.be_diskless()).name, "node", "with the certificate of this one it is taken")

    def test_a_certificate_of_another_address_is_refused(self):
        key, certificate = self.served.web.pair
        text = certificate.read_text()
        script = self.be_diskless()
        self.served.stop()
        _, other = tls_pair(self.dir / "elsewhere", "10.1.1.2")
        shutil.copy(other, certificate)
        shutil.copy(other.with_name("key.pem"), key)
        self.served.web.pair = key, certificate
        self.served.web.start()
        self.addCleanup(self.served.web.stop)
        self.be(OTHER, "10.1.254.8")
        with self.assertRaisesRegex(UserError, r"cannot be fetched \(5\)"):
            self.boot(script.replace(text, other.read_text()))

    def test_a_root_that_is_another_is_refused_before_anything_is_fetched(self):
        self.served.stop()
        # Another head node of the same directory has another root.
        (self.dir / "tree/boot/root.squashfs").write_text("another root")
        self.served = self.head(self.plan)
        with self.assertRaisesRegex(UserError, r"root.squashfs is not the root of the head node's"):
            self.boot(self.be_diskless())
        self.assertFalse((self.dir / "node/head.pem").exists())

    def test_a_root_that_is_made_anew_while_the_head_node_serves_is_taken(self):
        self.boot(self.be_diskless())
        part = self.dir / "tree/boot/part"
        part.write_text("another root")
        part.replace(self.dir / "tree/boot/root.squashfs")
        # As scripts/diskless-tree leaves it.
        script = self.get("/pinned/compute-0-1")[1]
        with self.assertRaisesRegex(UserError, r"root.squashfs is not the root of the head node's"):
            self.boot(script)
        root = self.root()
        (root / "run/live/medium/live/root.squashfs").write_text("another root")
        (root / "node").write_text(script)
        self.enter(root, "sh", "/node")

    def test_the_installer_fetches_what_it_brings_into_its_system(self):
        script = self.get(f"/ipxe?mac={MAC}")[1]
        root = self.root()
        for url, place in re.findall(r"initrd (http://\S+) (/\S+) mode=644\n", script):
            (root / place.lstrip("/")).write_text(self.get(url)[1])
        url = re.search(r" url=(\S+) ", script)[1]
        answers = self.enter(root, "wget", "--no-verbose", "-U", "debian-installer", "-O", "-", url)
        command = re.search(r"(?m)^d-i preseed/late_command string (.*)$", answers)[1]
        # The place of the new system is the installer's own here.
        for name in ("passwd", "default"):
            place = root / "target/etc" / name
            place.parent.mkdir(exist_ok=True)
            shutil.copy(root / "root/etc/passwd", place) if name == "passwd" else place.mkdir()
        self.enter(root, "sh", "-c", command)
        self.assertEqual((root / "target/root/.ssh/authorized_keys").read_text(), "ssh-ed25519 KEY head node\n")
        self.assertEqual((root / "target/etc/munge/munge.key").read_text(), (self.served.directory / "slurm/munge.key").read_text())
        self.assertTrue(self.served.is_installed("compute-0-0"))
        # The same with the certificate of another.
        _, other = tls_pair(self.dir / "elsewhere", PLAN.head)
        shutil.copy(other, root / "head.pem")
        with self.assertRaisesRegex(UserError, r"\(5\): .*certificate of .10\.1\.1\.1"):
            self.enter(root, "wget", "--no-verbose", "-O", "-", url)
        (root / "etc/wgetrc").unlink()
        with self.assertRaisesRegex(UserError, r"\(5\): .*certificate of .10\.1\.1\.1"):
            self.enter(root, "wget", "--no-verbose", "-O", "-", url)


class Keys(Case):
    """The key of TLS and its certificate."""

    def test_only_the_head_node_reads_the_key_and_a_second_start_keeps_it(self):
        head = self.head()
        key, certificate = head.web.pair
        self.assertEqual((key, certificate), (head.directory / "tls/key.pem", head.directory / "tls/certificate.pem"))
        self.assertEqual([path.stat().st_mode & 0o777 for path in (key.parent, key, certificate)], [0o700, 0o600, 0o644])
        before = key.read_text(), certificate.read_text()
        self.assertIn("PRIVATE KEY", before[0])
        self.assertEqual(self.get("/certificate"), (200, before[1]))
        head.stop()
        key.chmod(0o644)
        self.assertEqual(self.head().web.pair, (key, certificate))
        self.assertEqual((key.read_text(), certificate.read_text()), before)
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        self.assertEqual([path.name for path in key.parent.iterdir() if path.name.startswith(".")], [])

    def test_another_address_and_a_certificate_that_is_lost_are_made_up_for(self):
        key, certificate = tls_pair(self.dir, PLAN.head)
        before, first = key.read_text(), certificate.read_text()
        for what in ("10.9.9.9", "", "no certificate"):
            with self.subTest(what):
                certificate.write_text(what) if what.startswith("no") else certificate.unlink() if not what else None
                tls_pair(self.dir, what if what.startswith("10") else PLAN.head)
                self.assertEqual(key.read_text(), before)
                self.assertNotEqual(certificate.read_text(), first)
                address = what if what.startswith("10") else str(PLAN.head)
                self.assertIn("does match", run("openssl", "x509", "-in", certificate, "-noout", "-checkip", address))

    def test_a_key_that_cannot_be_read_is_said(self):
        key, _ = tls_pair(self.dir, PLAN.head)
        key.write_text("no key")
        with self.assertRaisesRegex(UserError, r"tls/key\.pem is no key of openssl's without a passphrase, .*; remove it"):
            tls_pair(self.dir, PLAN.head)

    def test_a_key_with_a_passphrase_is_said_and_not_asked_for(self):
        key, _ = tls_pair(self.dir, PLAN.head)
        run("openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", key.with_name("locked"))
        key.with_name("locked").rename(key)
        # On a terminal, of which openssl would read one.
        child, terminal = pty.fork()
        if not child:
            status = 1
            try:
                tls_pair(self.dir, PLAN.head)
            except UserError as error:
                status = 0 if "key.pem is no key" in str(error) else 2
            finally:
                os._exit(status)
        self.addCleanup(os.close, terminal)
        end = time.monotonic() + 20
        while not (done := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < end:
            time.sleep(0.1)
        if not done[0]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self.assertEqual(done, (child, 0))

    def test_a_key_that_signs_nothing_is_said(self):
        key, certificate = tls_pair(self.dir, PLAN.head)
        certificate.unlink()
        run("openssl", "genpkey", "-quiet", "-algorithm", "X25519", "-out", key)
        with self.assertRaisesRegex(UserError, r"tls/key\.pem is no key .*; remove it"):
            tls_pair(self.dir, PLAN.head)

    def test_a_certificate_that_is_not_valid_at_any_time_is_made_again(self):
        key, certificate = tls_pair(self.dir, PLAN.head)
        for begin, end in (("20200101000000Z", "20210101000000Z"), ("20200101000000Z", "99991231235959Z"), ("19700101000000Z", "20300101000000Z")):
            with self.subTest(begin=begin, end=end):
                dates = ("-not_before", begin, "-not_after", end)
                run("openssl", "req", "-x509", "-key", key, "-subj", "/CN=x", "-addext", f"subjectAltName=IP:{PLAN.head}", *dates, "-out", certificate)
                tls_pair(self.dir, PLAN.head)
                for moment in (1, 1 << 36):
                    run("openssl", "verify", "-attime", moment, "-verify_ip", PLAN.head, "-CAfile", certificate, certificate)

    def test_a_directory_of_any_name_will_do(self):
        elsewhere = self.dir / "a room; {of $nodes}"
        elsewhere.mkdir()
        place, self.dir = self.dir, elsewhere
        # What it serves has a usual name.
        tree(place / "tree")
        (elsewhere / "tree").symlink_to(place / "tree")
        self.head()
        self.assertEqual(self.secret("/key")[0], 200)

    def test_what_is_removed_while_it_serves_is_needed_at_the_next_start_only(self):
        head = self.head()
        before = self.get("/certificate")
        shutil.rmtree(head.directory / "tls")
        self.assertEqual(self.get("/certificate"), before)
        self.assertEqual(self.secret("/key")[0], 200)

    def test_a_port_that_is_taken_is_said(self):
        with socket.socket() as other:
            # Connections of the test before have ended, and are remembered for a minute.
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((str(PLAN.head), 443))
            other.listen()
            with self.assertRaisesRegex(UserError, r"cannot serve at 10\.1\.1\.1: .* does another program there use port 443\?"):
                self.head()

    def test_the_clock_of_a_node_does_not_matter(self):
        _, certificate = tls_pair(self.dir, PLAN.head)
        for moment in (1, int(time.time()), 1 << 32, 1 << 36):
            said = run("openssl", "verify", "-attime", moment, "-verify_ip", PLAN.head, "-CAfile", certificate, certificate)
            self.assertIn(": OK", said)


if __name__ == "__main__":
    unittest.main()
