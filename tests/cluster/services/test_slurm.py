# SPDX-License-Identifier: GPL-2.0
"""Tests of what a head node has for nodes that compute together."""

import os
import re
import unittest

from support import MAC, PLAN, Case, Plan, run, tree

from archive.errors import UserError
from cluster import slurm


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
        index.write_text("Package: munge\nVersion: 1\n\nPackage: slurmd\n")
        self.index = index

    def test_a_mirror_without_slurm_is_refused(self):
        self.index.write_text("Package: munge\n")
        with self.assertRaisesRegex(UserError, "needs slurmd, which the mirror does not have; list that in "):
            self.head(self.plan)

    def test_nodes_get_the_key_and_no_other_machine_does(self):
        head = self.head(self.plan)
        self.assertEqual(self.get("/compute")[0], 404)
        self.get(f"/ipxe?mac={MAC}")
        answers = self.get("/preseed/compute-0-0")[1]
        self.assertIn("d-i pkgsel/include string munge slurmd\n", answers)
        self.assertIn(f"&& wget -q -O /tmp/compute http://{PLAN.head}/compute && (cd /target && sh -e /tmp/compute) && wget -q -O /dev/null", answers)
        key = slurm.key(head.directory).read_text()
        self.assertRegex(key, r"^[0-9a-f]{256}$")
        self.assertEqual(slurm.key(head.directory).stat().st_mode & 0o777, 0o400)
        status, script = self.get("/compute")
        self.assertEqual((status, script.count(key)), (200, 1))
        self.be("52:54:00:81:11:11", "10.1.254.8")
        self.get("/ipxe?mac=52:54:00:81:11:11")
        self.assertEqual(self.get("/node/compute-0-1")[1].count(key), 1)
        self.be("02:00:00:00:00:99", "10.1.255.254")
        self.assertEqual([self.get(path)[0] for path in ("/compute", "/compute/compute-0-0", "/node/compute-0-1")], [404, 404, 404])

    def test_the_script_puts_the_key_where_munge_wants_it(self):
        self.head(self.plan)
        self.get(f"/ipxe?mac={MAC}")
        root = self.dir / "root"
        (root / "etc/default").mkdir(parents=True)
        (root / "etc/passwd").write_text(f"root:x:0:0::/:/bin/sh\nmunge:x:{os.getuid()}:{os.getgid()}::/:/bin/false\n")
        run("sh", "-e", cwd=root, stdin=self.get("/compute")[1])
        path = root / "etc/munge/munge.key"
        self.assertRegex(path.read_text(), r"^[0-9a-f]{256}$")
        self.assertEqual((path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777), (0o400, 0o700))
        self.assertEqual((root / "etc/default/slurmd").read_text(), f"SLURMD_OPTIONS='-Z --conf-server {PLAN.head}'\n")
        # Without its user there is no munge: better nothing than a key for all.
        (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
        with self.assertRaises(UserError):
            run("sh", "-e", cwd=root, stdin=self.get("/compute")[1])

    def test_a_plan_without_slurm_gives_no_key(self):
        head = self.head()
        self.get(f"/ipxe?mac={MAC}")
        self.assertEqual(self.get("/compute")[0], 404)
        self.assertNotIn("munge", self.get("/preseed/compute-0-0")[1])
        self.assertFalse((head.directory / "slurm").exists())

    def test_the_configuration_is_the_plans(self):
        text = slurm.configuration(self.plan, "/srv/cluster")
        self.assertIn(f"\nSlurmctldHost=head({PLAN.head})\n", text)
        self.assertIn(f"\nMaxNodeCount={PLAN.most}\n", text)
        self.assertEqual(len(re.findall(r"(?m)^StateSaveLocation=/srv/cluster/slurm/state$", text)), 1)


if __name__ == "__main__":
    unittest.main()
