# SPDX-License-Identifier: GPL-2.0
"""scripts/fuzz-driver, with a stub for scripts/lab."""

import unittest

from test_scripts import Stubs


class FuzzDriver(Stubs):
    """The options of scripts/fuzz-driver."""

    def setUp(self):
        super().setUp()
        self.tree("scripts/fuzz-driver")
        self.stub("top/scripts/lab", 'echo "$CHIP $DRIVER ${FUZZ_DEBUG:+debug }$*"')

    def test_options_reach_the_fuzzer(self):
        for options, expected in (
            ("", "b300 r8168_rust fuzz"),
            ("--chip b380 --driver r8169 --seconds 5", "b380 r8169 fuzz --seconds 5"),
            ("--seed 7 --debug --no-iommu --blind --executions 9 --finds 1", "b300 r8168_rust debug fuzz --seed 7 --no-iommu --blind --executions 9 --finds 1"),
        ):
            status, said = self.run_script("fuzz-driver", *options.split())
            self.assertEqual((status, said), (0, expected + "\n"))

    def test_a_find_is_where_the_toolbox_sees_it(self):
        (self.dir / "find").write_text("input: 00\n")
        status, said = self.run_script("fuzz-driver", "--replay", self.dir / "find", "--minimise")
        copy = self.top / "build/fuzz-driver/find"
        self.assertEqual((status, said), (0, f"b300 r8168_rust fuzz --minimise --replay {copy}\n"))
        self.assertEqual(copy.read_text(), "input: 00\n")
        self.run_script("fuzz-driver", "--replay", copy)
        self.assertEqual(copy.read_text(), "input: 00\n")

    def test_wrong_options_are_refused(self):
        for options, expected in (
            ("--seconds", "--seconds needs a number"),
            ("--seed x", "--seed needs a number"),
            ("--chip b381", "--chip is b300 or b380"),
            ("--driver r8169", "r8169 does not drive b300 any more; add --chip b380"),
            ("--replay none", "--replay names no file: 'none'"),
            ("fuzz", "there is no option 'fuzz'"),
        ):
            status, said = self.run_script("fuzz-driver", *options.split())
            self.assertEqual(status, 2, said)
            self.assertIn(expected, said)
            self.assertEqual(said.count("\n"), 1, said)


class ReachedLines(Stubs):
    """scripts/reached-lines, with what objdump and addr2line print."""

    def setUp(self):
        super().setUp()
        self.tree("scripts/reached-lines")
        (self.dir / "code").write_text("0000 <f>:\n       0:\tnop\n       4:\tpush   %rbx\n       5:\tret\n      10:\tret\n")
        places = "0x0\n/x/rust/kernel/a.rs:1\n0x4\nrust/driver/a.rs:7\nrust/net/b.rs:2\n0x5\nrust/driver/a.rs:8 (discriminator 2)\n0x10\nrust/driver/a.rs:9\n"
        (self.dir / "places").write_text(places)
        self.stub("bin/objdump", f"cat {self.dir}/code")
        self.stub("bin/addr2line", f"cat {self.dir}/places")
        self.blocks, self.module, self.unreached = (self.dir / name for name in ("blocks.tsv", "module.ko", "unreached.txt"))
        self.blocks.write_text("0x0\t2\t5\n0x5\t1\t1\n")
        self.module.write_text("")

    def test_a_line_is_reached_by_any_of_its_instructions(self):
        status, said = self.run_script("reached-lines", self.blocks, self.module, self.unreached)
        self.assertEqual(status, 0, said)
        rows = [line.split() for line in said.splitlines()[1:]]
        self.assertEqual(rows[0], ["rust/driver/a.rs", "3", "2", "66.7%"])
        self.assertEqual(rows[1], ["rust/net/b.rs", "1", "1", "100.0%"])
        self.assertEqual(rows[2], ["all", "4", "3", "75.0%"])
        self.assertEqual(said.splitlines()[-1], "3 of 4 instructions were run")
        self.assertEqual(self.unreached.read_text(), "rust/driver/a.rs:9\n")

    def test_what_is_missing_is_named(self):
        self.assertEqual(self.run_script("reached-lines")[0], 2)
        self.module.unlink()
        status, said = self.run_script("reached-lines", self.blocks, self.module, self.unreached)
        self.assertEqual((status, said.count("\n")), (2, 1))
        self.assertIn("found no file", said)


if __name__ == "__main__":
    unittest.main()
