# SPDX-License-Identifier: GPL-2.0
"""Tests of what all nodes have if the plan says so: /home by NFS, the clock, one user. What is served is asked for by clients of others: libnfs and chrony."""

import socket
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

from support import MAC, PLAN, TOP, Case, Plan, run, tree

from archive.errors import UserError
from cluster import common
from cluster.web import mapped

UID = 5000
SHARED = {"home = no": "home = yes", "clock = no": "clock = yes", "user =\n": "user = ann\n"}
# NFS-Ganesha serves directories of a disk alone, and to others than its own user only as root.
BUILD = TOP / "build"
BUILD.mkdir(exist_ok=True)
KIND = run("stat", "-f", "-c", "%T", BUILD).strip()
ROOTLESS = "there is one user here only, and /home is served for others: run it as root"
UNSERVED = (
    None if mapped(UID) and KIND not in ("overlayfs", "tmpfs") else f"{BUILD} is on {KIND}, of which nothing is served by NFS" if mapped(UID) else ROOTLESS
)


class Shared(Case):
    """A mirror that has what is needed, and nodes with and without a disk."""

    def setUp(self):
        super().setUp()
        holder = tempfile.TemporaryDirectory(dir=BUILD, prefix="test-common-")
        self.addCleanup(holder.cleanup)
        self.dir = Path(holder.name)
        self.dir.chmod(0o755)
        for name in ("boot/diskless-initrd", "boot/root.squashfs"):
            (tree(self.dir / "tree") / name).write_text("x")
        self.index = self.dir / "tree/mirror/dists/trixie/main/binary-amd64/Packages"
        self.index.parent.mkdir(parents=True)
        self.index.write_text("Package: nfs-common\nVersion: 1\n\nPackage: chrony\n")
        (self.dir / "tree/boot/root.packages").write_text("nfs-common\nchrony\n")

    def plan(self, **changes):
        """The plan, with all of it but what is given as another value."""
        text = PLAN.path.read_text().replace("[modes]\n", "[modes]\ncompute-0-1 = diskless\n")
        for old, new in SHARED.items():
            key = old.split(" ")[0]
            text = text.replace(f"\n{old}", f"\n{key} = {changes[key]}{old[len(old.rstrip()) :]}" if key in changes else f"\n{new}")
        (self.dir / "cluster.conf").write_text(text)
        return Plan(self.dir / "cluster.conf")

    def script(self, plan):
        """Returns what a node runs, as the head node answers it."""
        self.head(plan)
        self.get(f"/ipxe?mac={MAC}")
        status, text = self.secret("/compute")
        self.assertEqual(status, 200)
        return text

    def node(self):
        """The root directory of a node, as Debian has it when it is installed."""
        root = self.dir / "root"
        for name, text in {
            "etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/bin/false\n",
            "etc/group": "root:x:0:\n",
            "etc/shadow": "root:*:20000:0:99999:7:::\n",
            "etc/gshadow": "root:*::\n",
            "etc/fstab": "# one line\n",
            "etc/chrony/chrony.conf": "confdir /etc/chrony/conf.d\npool 2.debian.pool.ntp.org iburst\nsourcedir /etc/chrony/sources.d\nmakestep 1 3\n",
            "usr/sbin/mount.nfs4": "",
        }.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        (root / "etc/shadow").chmod(0o640)
        return root


class Nodes(Shared):
    """The files that are written into nodes."""

    def test_a_mirror_without_the_packages_is_refused(self):
        self.index.write_text("Package: chrony\n")
        with self.assertRaisesRegex(UserError, "needs nfs-common, which the mirror in .* does not have; make it anew: scripts/installer-tree --plan"):
            self.head(self.plan())

    def test_it_is_off_by_default(self):
        head = self.head()
        self.get(f"/ipxe?mac={MAC}")
        self.assertEqual(self.secret("/compute")[0], 404)
        self.assertNotIn("/tmp/compute", self.secret("/preseed/compute-0-0")[1])
        self.assertFalse(PLAN.shares())
        self.assertEqual([name for name in ("common", "home", "user") if (head.directory / name).exists()], [])

    def test_installed_and_diskless_nodes_get_the_same_and_no_other_machine_does(self):
        self.head(self.plan(home="no", clock="no"))
        self.get(f"/ipxe?mac={MAC}")
        self.assertIn("(cd /target && sh -e /tmp/compute)", self.secret("/preseed/compute-0-0")[1])
        script = self.secret("/compute")[1]
        self.assertIn("PRIVATE KEY", script)
        self.be("52:54:00:81:11:11", "10.1.254.8")
        self.get("/ipxe?mac=52:54:00:81:11:11")
        self.assertTrue(self.secret("/node/compute-0-1")[1].endswith(script))
        self.be("02:00:00:00:00:99", "10.1.255.254")
        self.assertEqual([self.secret(path)[0] for path in ("/compute", "/compute/compute-0-0", "/node/compute-0-1")], [404, 404, 404])

    @unittest.skipIf(UNSERVED, UNSERVED)
    def test_what_a_node_is_given(self):
        script = self.script(self.plan())
        root = self.node()
        run("sh", "-e", cwd=root, stdin=script)
        line = (root / "etc/fstab").read_text().splitlines()[-1].split()
        self.assertEqual(line[:3], [f"{PLAN.head}:/home", "/home", "nfs4"])
        self.assertLessEqual({"nofail", "_netdev", "nosuid", "nodev", "x-systemd.automount"}, set(line[3].split(",")))
        self.assertEqual((root / "etc/chrony/sources.d/head.sources").read_text(), f"server {PLAN.head} iburst\n")
        self.assertIn("\n#pool 2.debian", (root / "etc/chrony/chrony.conf").read_text())
        entries = {name: (root / "etc" / name).read_text().splitlines()[-1] for name in ("passwd", "group", "shadow", "gshadow")}
        self.assertEqual(entries["passwd"], "ann:x:5000:5000:ann:/home/ann:/bin/bash")
        self.assertEqual([entries[name].split(":")[0] for name in entries], ["ann"] * 4)
        # No password lets him in.
        self.assertEqual(entries["shadow"].split(":")[1], "*")
        self.assertEqual((root / "etc/shadow").stat().st_mode & 0o777, 0o640)
        # His home is on the head node; a key in each node would be one that nothing reads.
        self.assertFalse((root / "home").exists())
        self.assertNotIn("PRIVATE KEY", script)

    @unittest.skipIf(UNSERVED, UNSERVED)
    def test_a_user_that_a_package_has_made_is_not_taken_for_the_plan_s(self):
        root = self.node()
        script = self.script(self.plan())
        with open(root / "etc/passwd", "a") as passwd:
            passwd.write("ann:x:104:107::/var/lib/ann:/bin/false\n")
        with self.assertRaisesRegex(UserError, r"found ann:x:104:107:.* expected the number 5000; give the plan's user another name"):
            run("sh", "-e", cwd=root, stdin=script)
        self.assertEqual((root / "etc/fstab").read_text(), "# one line\n")

    @unittest.skipUnless(mapped(UID), ROOTLESS)
    def test_a_user_without_a_common_home_has_the_same_key_on_each_node(self):
        root = self.node()
        run("sh", "-e", cwd=root, stdin=self.script(self.plan(home="no", clock="no")))
        ssh = root / "home/ann/.ssh"
        public = run("ssh-keygen", "-y", "-f", ssh / "id_ed25519").split()[:2]
        self.assertEqual((ssh / "authorized_keys").read_text().split()[:2], public)
        self.assertEqual((self.dir / "head/user/id.pub").read_text().split()[:2], public)
        self.assertEqual((self.dir / "head/user").stat().st_mode & 0o777, 0o700)
        for path in (ssh.parent, ssh, *ssh.iterdir()):
            self.assertEqual((path.stat().st_uid, path.stat().st_mode & 0o077), (UID, 0), path)
        self.assertEqual((root / "etc/fstab").read_text(), "# one line\n")

    def test_a_node_without_what_mounts_home_says_so(self):
        root = self.node()
        (root / "usr/sbin/mount.nfs4").unlink()
        text = (TOP / "packaging/cluster/home-node.sh").read_text()
        with self.assertRaisesRegex(UserError, "found no nfs-common, by which /home is mounted"):
            run("sh", "-e", cwd=root, stdin=text)
        self.assertEqual((root / "etc/fstab").read_text(), "# one line\n")

    def test_a_home_that_is_there_is_not_written_to(self):
        home = self.dir / "head/home/ann"
        home.mkdir(parents=True)
        # Its owner may have put this there.
        (home / ".ssh").symlink_to(self.dir)
        self.assertEqual(common.make_home(self.plan(), self.dir / "head"), home.parent)
        self.assertFalse((self.dir / "authorized_keys").exists())


class Servers(Shared):
    """The services."""

    def nfs(self, program, *words, uid=UID):
        """Runs a program of libnfs on the machine, as root of a node who comes as another."""
        words = [word.replace("nfs:", f"nfs://{PLAN.head}") + f"?version=4&uid={uid}&gid={uid}" if word.startswith("nfs:") else word for word in words]
        return self.inside(program, *words)

    @unittest.skipIf(UNSERVED, UNSERVED)
    def test_home_is_there_for_its_user_and_no_other(self):
        head = self.head(self.plan(clock="no"))
        (self.dir / "text").write_text("hello\n")
        self.nfs("nfs-cp", str(self.dir / "text"), "nfs:/home/ann/text")
        self.assertEqual(self.nfs("nfs-cat", "nfs:/home/ann/text"), "hello\n")
        found = (head.directory / "home/ann/text").stat()
        self.assertEqual((found.st_uid, found.st_gid, found.st_size), (UID, UID, 6))
        # His key lets him in everywhere.
        self.assertIn("PRIVATE KEY", self.nfs("nfs-cat", "nfs:/home/ann/.ssh/id_ed25519"))
        # Another user, and root of a node, who is nobody here.
        for uid in (UID + 1, 0):
            with self.assertRaisesRegex(UserError, "Failed to open nfs:.*/home/ann/text"):
                self.nfs("nfs-cat", "nfs:/home/ann/text", uid=uid)
        with self.assertRaisesRegex(UserError, "failed"):
            self.nfs("nfs-cp", str(self.dir / "text"), "nfs:/home/text", uid=0)
        # A program of a user of a node could say that it is any user: it has no port below 1024.
        words = ["setpriv", "--reuid", "5001", "--regid", "5001", "--clear-groups", "--bounding-set", "-all", "nfs-cat"]
        with self.assertRaisesRegex(UserError, "Failed to open nfs:.*/home/ann/text"):
            self.inside(*words, f"nfs://{PLAN.head}/home/ann/text?version=4&uid={UID}&gid={UID}")
        # A machine outside the plan's network gets nothing.
        self.inside("ip", "address", "add", "172.16.9.9/16", "dev", "nic")
        run("ip", "address", "add", "172.16.9.1/16", "dev", "wire")
        self.inside("ip", "address", "flush", "dev", "nic", "to", "10.0.0.0/8")
        self.inside("ip", "route", "add", f"{PLAN.head}/32", "dev", "nic")
        with self.assertRaisesRegex(UserError, "Failed to open nfs:.*/home/ann/text"):
            self.nfs("nfs-cat", "nfs:/home/ann/text")

    @unittest.skipIf(UNSERVED, UNSERVED)
    def test_what_was_written_is_there_when_the_head_node_begins_anew(self):
        for name, seconds in (("GRACE_SECONDS", 3), ("LEASE_SECONDS", 2)):
            patch = unittest.mock.patch.object(common, name, seconds)
            patch.start()
            self.addCleanup(patch.stop)
        head = self.head(self.plan(clock="no"))
        (self.dir / "text").write_text("hello\n")
        self.nfs("nfs-cp", str(self.dir / "text"), "nfs:/home/ann/text")
        head.stop()
        self.assertEqual(self.head(self.plan(clock="no")).directory, head.directory)
        # A kernel asks again by itself while others may claim what they had open; libnfs does not.
        end = time.monotonic() + 30
        while True:
            try:
                self.assertEqual(self.nfs("nfs-cat", "nfs:/home/ann/text"), "hello\n")
                break
            except UserError:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.5)

    def test_the_clock_is_that_of_the_head_node(self):
        self.head(self.plan(home="no", user=""))
        said = self.inside(
            "chronyd", "-Q", "-t", "10", "-u", "root", "-f", "/dev/null", f"server {PLAN.head} iburst", "pidfile /", "bindcmdaddress /", "cmdport 0"
        )
        self.assertEqual(said, "")

    def test_a_port_that_is_taken_is_said_and_nothing_is_left(self):
        for kind, port, plan in ((socket.SOCK_DGRAM, 123, self.plan(home="no")), (socket.SOCK_STREAM, 2049, self.plan(clock="no"))):
            with self.subTest(port), socket.socket(socket.AF_INET, kind) as taken:
                if port == 2049 and not mapped(UID):
                    continue
                taken.bind((str(PLAN.head), port))
                if kind == socket.SOCK_STREAM:
                    taken.listen()
                with self.assertRaisesRegex(UserError, f"cannot serve N.. at {PLAN.head}: .*; does another program there use port {port}?"):
                    self.head(plan)
                # The web server and the rest have ended.
                self.assertEqual(run("ss", "--no-header", "--listening", "--tcp", f"src {PLAN.head} and sport = 80"), "")

    def test_a_server_that_ends_is_said(self):
        head = self.head(self.plan(home="no"))
        head._common.programs.running["chronyd"].kill()
        head._common.programs.running["chronyd"].wait()
        with self.assertRaisesRegex(UserError, f"chronyd has ended: .*; its log is {self.dir}/head/common/chronyd.log"):
            head.check()


if __name__ == "__main__":
    unittest.main()
