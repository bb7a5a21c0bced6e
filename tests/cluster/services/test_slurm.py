# SPDX-License-Identifier: GPL-2.0
"""Tests of what a head node has for nodes that compute together."""

import os
import re
import unittest
from pathlib import Path

from support import MAC, PLAN, TOP, Case, Plan, head_node, run, tree

from archive.errors import UserError
from cluster import serve, slurm


class Keys(Case):
    """The key of munge, and who gets it."""

    def setUp(self):
        super().setUp()
        text = PLAN.path.read_text().replace("slurm = no", "slurm = yes")
        (self.dir / "cluster.conf").write_text(text.replace("[modes]\n", "[modes]\ncompute-0-1 = diskless\n"))
        self.plan = Plan(self.dir / "cluster.conf")
        for name in ("boot/diskless-initrd", "boot/root.squashfs"):
            (tree(self.dir / "tree") / name).write_text("x")
        index = self.dir / "tree/mirror/dists/trixie/main/binary-amd64/Packages"
        index.parent.mkdir(parents=True)
        index.write_text("".join(f"Package: {name}\nVersion: 1\n\n" for name in self.plan.packages()))
        self.index = index
        self.asked = self.dir / "tree/mirror.packages"
        self.asked.write_text("".join(f"{name}\n" for name in self.plan.packages()))
        self.root = self.dir / "tree/boot/root.packages"
        self.root.write_text("busybox\n" + "".join(f"{name}\n" for name in self.plan.packages()))

    def test_a_tree_without_slurm_is_refused_with_the_command_that_makes_it(self):
        self.index.write_text(self.index.read_text().replace("Package: slurmd\n", "Package: slurm\n"))
        self.asked.write_text("munge\n")
        command = f"scripts/installer-tree --plan {self.dir}/cluster.conf {self.dir}/tree"
        with self.assertRaisesRegex(UserError, f"^the plan needs slurmd, which the mirror in {self.dir}/tree does not have; make it anew: {command}$"):
            self.head(self.plan)

    def test_a_root_of_diskless_nodes_that_is_older_than_the_plan_is_refused(self):
        self.root.write_text("busybox\nmunge\nslurmd\n")
        command = f"scripts/diskless-tree {self.dir}/tree"
        with self.assertRaisesRegex(UserError, f"^the plan needs openmpi-bin and slurm-client, which the root of diskless nodes in .*: {command}$"):
            self.head(self.plan)
        # Nodes that are installed have no part in that.
        self.plan.modes = {"*": "install"}
        self.head(self.plan)

    def test_a_root_that_lacks_what_the_mirror_was_not_made_with_has_both_made_anew(self):
        # The mirror has it since something else depends on it: scripts/diskless-tree would leave the root as it is.
        self.root.write_text("busybox\nmunge\nslurmd\n")
        self.asked.write_text("munge\nslurmd\nslurm-client\n")
        command = f"scripts/installer-tree --plan {self.dir}/cluster.conf {self.dir}/tree"
        with self.assertRaisesRegex(UserError, f"^the plan needs openmpi-bin and slurm-client, which the root of diskless nodes in .*: {command}$"):
            self.head(self.plan)

    def test_a_package_that_is_a_name_for_another_is_there_when_the_mirror_was_made_with_it(self):
        self.plan.installation["packages"] = "ssh-server"
        with self.assertRaisesRegex(UserError, "needs ssh-server, which the mirror"):
            self.head(self.plan)
        for path in (self.asked, self.root):
            path.write_text(f"{path.read_text()}ssh-server\n")
        self.head(self.plan)

    def test_a_dry_run_refuses_the_mirror_and_lets_the_root_be_made(self):
        self.root.unlink()
        head = head_node.Head(self.plan, "wire", self.dir / "head", self.dir / "tree", "")
        head.check_tree(mirror_alone=True)
        self.index.write_text("")
        self.asked.write_text("")
        with self.assertRaisesRegex(UserError, "needs munge and .*, which the mirror in"):
            head.check_tree(mirror_alone=True)
        self.assertFalse((self.dir / "head").exists())

    def test_a_tree_of_before_is_refused(self):
        """Its installer takes answers from where a DHCP server says."""
        self.asked.unlink()
        words = ["--tree", f"{self.dir}/tree", "--plan", f"{self.dir}/cluster.conf", "wire", f"{self.dir}/head"]
        command = f"scripts/installer-tree --plan {self.dir}/cluster.conf {self.dir}/tree"
        with self.assertRaisesRegex(UserError, f"^the tree {self.dir}/tree is of an older version, .*; make it anew: {command}$"):
            serve.run_head(serve.parser().parse_args([*words, "--dry-run"]))

    def test_nodes_get_the_key_and_no_other_machine_does(self):
        head = self.head(self.plan)
        self.assertEqual(self.secret("/compute")[0], 404)
        self.get(f"/ipxe?mac={MAC}")
        answers = self.secret("/preseed/compute-0-0")[1]
        self.assertIn("d-i pkgsel/include string munge openmpi-bin slurm-client slurmd\n", answers)
        self.assertIn(f"&& wget -q -O /tmp/compute https://{PLAN.head}/compute && (cd /target && sh -e /tmp/compute) && wget -q -O /dev/null", answers)
        key = slurm.key(head.directory).read_text()
        self.assertRegex(key, r"^[0-9a-f]{256}$")
        self.assertEqual(slurm.key(head.directory).stat().st_mode & 0o777, 0o400)
        status, script = self.secret("/compute")
        self.assertEqual((status, script.count(key)), (200, 1))
        self.be("52:54:00:81:11:11", "10.1.254.8")
        self.get("/ipxe?mac=52:54:00:81:11:11")
        self.assertEqual(self.secret("/node/compute-0-1")[1].count(key), 1)
        self.be("02:00:00:00:00:99", "10.1.255.254")
        self.assertEqual([self.secret(path)[0] for path in ("/compute", "/compute/compute-0-0", "/node/compute-0-1")], [404, 404, 404])

    def test_the_script_puts_the_key_where_munge_wants_it(self):
        self.head(self.plan)
        self.get(f"/ipxe?mac={MAC}")
        root = self.dir / "root"
        (root / "etc/default").mkdir(parents=True)
        (root / "etc/passwd").write_text(f"root:x:0:0::/:/bin/sh\nmunge:x:{os.getuid()}:{os.getgid()}::/:/bin/false\n")
        run("sh", "-e", cwd=root, stdin=self.secret("/compute")[1])
        path = root / "etc/munge/munge.key"
        self.assertRegex(path.read_text(), r"^[0-9a-f]{256}$")
        self.assertEqual((path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777), (0o400, 0o700))
        self.assertEqual((root / "etc/default/slurmd").read_text(), f"SLURMD_OPTIONS='-Z --conf-server {PLAN.head}'\n")
        self.assertIn("\nRestart=on-failure\n", (root / "etc/systemd/system/slurmd.service.d/again.conf").read_text())
        # Without its user there is no munge: better nothing than a key for all.
        (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
        with self.assertRaises(UserError):
            run("sh", "-e", cwd=root, stdin=self.secret("/compute")[1])

    def test_a_plan_without_slurm_gives_no_key(self):
        head = self.head()
        self.get(f"/ipxe?mac={MAC}")
        self.assertEqual(self.secret("/compute")[0], 404)
        self.assertNotIn("munge", self.secret("/preseed/compute-0-0")[1])
        self.assertFalse((head.directory / "slurm").exists())

    def test_the_configuration_is_the_plans(self):
        text = slurm.configuration(self.plan, "/srv/cluster")
        self.assertIn(f"\nSlurmctldHost=head({PLAN.head})\n", text)
        self.assertIn(f"\nMaxNodeCount={PLAN.most}\n", text)
        self.assertEqual(len(re.findall(r"(?m)^StateSaveLocation=/srv/cluster/slurm/state$", text)), 1)

    def test_the_machine_keeps_its_name_and_its_users(self):
        """slurmctld serves only where its configuration says; a machine that was called otherwise was given that name."""
        (self.dir / "cluster.conf").write_text(self.plan.path.read_text().replace("\nuser =\n", "\nuser = ann\n"))
        program = f"""
import sys, subprocess
from pathlib import Path
sys.path.insert(0, {str(TOP / "scripts")!r})
from cluster import serve, slurm
from cluster.plan import Plan
slurm.separate(Plan({str(self.dir / "cluster.conf")!r}), Path({str(self.dir)!r}))
sys.stdout.write(subprocess.run(["sh", "-c", "uname -n; getent passwd ann; getent group ann"], capture_output=True, text=True, check=True).stdout)
"""
        before = (run("uname", "-n"), Path("/etc/passwd").read_text(), Path("/etc/group").read_text())
        self.assertEqual(run("python3", "-B", "-c", program).splitlines(), ["head", "ann:x:5000:5000::/home/ann:/bin/sh", "ann:x:5000:"])
        self.assertEqual((run("uname", "-n"), Path("/etc/passwd").read_text(), Path("/etc/group").read_text()), before)

    def test_the_test_of_slurm_leaves_the_machine_its_name(self):
        """scripts/compute called the machine itself head."""
        program = f"""
import os, sys, subprocess
sys.path.insert(0, {str(TOP / "scripts")!r})
from cluster import compute
compute.Cluster({str(self.dir)!r}, {str(self.dir)!r}, 2).set_up()
"""
        # A name that only this has, so that it may be changed.
        said = run("unshare", "--uts", "--net", "--mount", "sh", "-euc", 'hostname mine; python3 -B -c "$1"; uname -n', "sh", program)
        self.assertEqual(said, "mine\n")


if __name__ == "__main__":
    unittest.main()
