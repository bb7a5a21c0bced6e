# SPDX-License-Identifier: GPL-2.0
"""scripts/test-mutants and scripts/crate, with stubs for cargo-mutants, cargo and what fetches."""

import fcntl
import hashlib
import io
import json
import tarfile
import unittest

from test_scripts import Stubs

LT = "tests/rings/src/../../../rust/net/spsc.rs:{}:5: replace < with <= in Ring::full"


class Mutants(Stubs):
    """scripts/test-mutants with a cargo-mutants that has three mutants of spsc.rs."""

    def setUp(self):
        super().setUp()
        self.tree("scripts/test-mutants")
        self.stub("top/scripts/crate", f"echo {self.dir}/bin/cargo-mutants")
        # The command follows `--`; its environment is not needed.
        self.stub("top/scripts/toolbox", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        names = "rust/net/spsc.rs tests/rings/Cargo.toml tests/rings/Cargo.lock tests/rings/tests/spsc.rs tests/rings/tests/xmit/main.rs"
        for name in names.split():
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_text("[package]\n[lib]\n[workspace]\n" if name.endswith("Cargo.toml") else "fn full() {}\n")
        self.stub("bin/git", f"printf '%s\\0' {names}")
        (self.top / "tests/mutants.conf").write_text("# Reasons\n")

    def judged(self, **ends):
        """Has cargo-mutants come to these ends, by the line of the mutant; for the pass with loom `loom` is the one of line 2."""
        loom = ends.pop("loom", "MissedMutant")
        lines = {int(name[1:]): end for name, end in ends.items()}
        outcomes = [{"scenario": "Baseline", "summary": "Success", "log_path": "log"}]
        for line, end in lines.items():
            summary, text = ("CaughtMutant", "(signal: 24, SIGXCPU: CPU time limit exceeded)") if end == "SIGXCPU" else (end, "a test failed")
            (self.dir / f"log-{line}").write_text(f"\n*** {LT.format(line)}\n\n{text}\n")
            outcomes.append({"scenario": {"Mutant": {}}, "summary": summary, "log_path": f"{self.dir}/log-{line}"})
        (self.dir / "outcomes").write_text(json.dumps({"outcomes": outcomes}))
        later = [outcome for outcome in outcomes if outcome["summary"] in ("Success", "MissedMutant")]
        (self.dir / "later").write_text(json.dumps({"outcomes": later}))
        for outcome in later[1:]:
            outcome["summary"] = loom
        (self.dir / "loom").write_text(json.dumps({"outcomes": later}))
        listed = "\\n".join(LT.format(line) for line in lines)
        self.stub(
            "bin/cargo-mutants",
            f"""echo "$*" >>{self.dir}/calls
            from=outcomes
            case "$*" in *--list*) printf '{listed}\\n'; exit;; *"--test loom"*) from=loom;; *--test-workspace*) from=later;; esac
            for one in "$@"; do case $one in --output=*) out=${{one#*=}} ;; esac; done
            mkdir "$out/mutants.out" && cp {self.dir}/$from "$out/mutants.out/outcomes.json"; exit 2""",
        )

    def row(self, said):
        return next(line.split() for line in said.splitlines() if line.startswith("rings"))

    def test_a_survivor_without_a_reason_fails_the_run(self):
        self.judged(L1="CaughtMutant", L2="MissedMutant", L3="Unviable")
        status, said = self.run_script("test-mutants", "rings")
        self.assertEqual(self.row(said), "rings 3 1 0 1 1 0 50.0 %".split(), said)
        self.assertIn(f"SURVIVED {LT.format(2)}", said)
        self.assertEqual(status, 1)

    def test_one_with_a_reason_does_not(self):
        (self.top / "tests/mutants.conf").write_text("rust/net/spsc.rs: replace < with <= in Ring::full => it looks once more than it must\n")
        self.judged(L1="CaughtMutant", L2="MissedMutant", L3="Unviable")
        status, said = self.run_script("test-mutants", "rings")
        self.assertEqual(self.row(said), "rings 3 1 0 1 1 1 50.0 %".split(), said)
        self.assertEqual(status, 0, said)

    def test_a_line_is_for_one_mutant(self):
        (self.top / "tests/mutants.conf").write_text("rust/net/spsc.rs: replace < with <= in Ring::full => it looks once more than it must\n")
        self.judged(L1="MissedMutant", L2="MissedMutant")
        status, said = self.run_script("test-mutants", "rings")
        self.assertEqual(said.count("SURVIVED"), 1, said)
        self.assertEqual(status, 1)

    def test_what_loom_notices_is_killed(self):
        self.judged(L1="CaughtMutant", L2="MissedMutant", loom="CaughtMutant")
        status, said = self.run_script("test-mutants", "rings")
        self.assertEqual(self.row(said), "rings 2 2 0 0 0 0 100.0 %".split(), said)
        self.assertEqual(status, 0)

    def test_processor_time_that_is_used_up_is_a_timeout(self):
        self.judged(L1="SIGXCPU", L2="Timeout")
        status, said = self.run_script("test-mutants", "rings")
        self.assertEqual(self.row(said), "rings 2 0 2 0 0 0 100.0 %".split(), said)
        self.assertEqual(status, 0)

    def test_a_reason_for_what_is_killed_is_reported(self):
        (self.top / "tests/mutants.conf").write_text("rust/net/spsc.rs: replace < with <= in Ring::full => none\n")
        self.judged(L1="CaughtMutant")
        status, said = self.run_script("test-mutants", "rings")
        self.assertIn("the line can go", said)
        self.assertEqual(status, 0)

    def test_outcomes_are_kept_until_the_file_changes(self):
        self.judged(L1="CaughtMutant", L2="Unviable")
        self.run_script("test-mutants", "rings")
        status, said = self.run_script("test-mutants", "rings")
        self.assertIn("rings: 0 mutants to try, 2 outcomes known", said)
        self.assertEqual(status, 0, said)
        with open(self.top / "rust/net/spsc.rs", "a", encoding="utf-8") as file:
            file.write("\n#[cfg(test)]\nmod tests {}\n")
        self.assertEqual(self.row(self.run_script("test-mutants", "--table", "rings")[1])[1], "2")
        (self.top / "rust/net/spsc.rs").write_text("fn full() { }\n")
        self.assertEqual(self.row(self.run_script("test-mutants", "--table", "rings")[1])[1], "0")

    def test_tests_that_fail_without_a_mutant_judge_none(self):
        self.judged(L1="CaughtMutant")
        self.stub(
            "bin/cargo-mutants", f"case \"$*\" in *--list*) echo '{LT.format(1)}';; *) echo 'ERROR cargo test failed in an unmutated tree'; exit 4;; esac"
        )
        status, said = self.run_script("test-mutants", "rings")
        self.assertIn("error: the tests of rings (tests/rings: spsc) cannot judge: cargo-mutants ended with 4: ERROR cargo test failed", said)
        self.assertEqual(status, 1)

    def test_two_runs_do_not_change_one_copy(self):
        self.judged(L1="CaughtMutant")
        (self.top / "build/mutants/rings").mkdir(parents=True)
        with open(self.top / "build/mutants/rings/lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            status, said = self.run_script("test-mutants", "rings")
        self.assertIn("error: another run changes", said)
        self.assertEqual((status, said.count("\n")), (1, 1))

    def test_wrong_arguments_are_refused(self):
        for arguments, says in (
            (("--shard", "2/2"), "--shard takes K/N with K from 0 to N-1, not '2/2'"),
            (("wire",), "the parts are rings, model, transport; there is no 'wire'"),
            (("--again", "--fresh"), "--again takes all survivors"),
            (("--seconds", "x"), "invalid int value"),
        ):
            with self.subTest(arguments):
                status, said = self.run_script("test-mutants", *arguments)
                self.assertIn(says, said)
                self.assertEqual((status, said.count("\n")), (2, 1))
        (self.top / "tests/mutants.conf").write_text("nothing\n")
        status, said = self.run_script("test-mutants", "--table")
        self.assertIn("tests/mutants.conf:1: `FILE: WHAT => REASON` is expected, not `nothing`", said)
        self.assertEqual((status, said.count("\n")), (2, 1))

    def test_only_what_the_kernel_compiles_is_left_out(self):
        (self.top / "rust/net/spsc.rs").write_text("#[cfg(not(any(host_test, loom)))]\nmod environment {\n    fn a() {}\n}\n\nfn b() {}\n")
        self.judged(L1="CaughtMutant")
        self.run_script("test-mutants", "rings")
        self.assertEqual((self.top / "build/mutants/rings/job-0/tree/rust/net/spsc.rs").read_text(), "\n\n\n\n\nfn b() {}\n")


class Crate(Stubs):
    """scripts/crate, with a cargo that fetches what the test has made."""

    def setUp(self):
        super().setUp()
        self.tree("scripts/crate")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            member = tarfile.TarInfo("tool-1.0/Cargo.toml")
            tar.addfile(member, io.BytesIO())
        self.crate = archive.getvalue()
        (self.dir / "tool").write_bytes(self.crate)
        self.sum = hashlib.sha256(self.crate).hexdigest()
        self.stub("top/scripts/toolbox", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        self.cargo = f"""case $1 in
        info) to=$HOME/.cache/r8168_rust/cargo/registry/cache/index; mkdir -p $to && cp {self.dir}/tool $to/tool-1.0.crate ;;
        install) while [ $1 != --root ]; do shift; done; mkdir $2/bin && echo built >$2/bin/tool ;;
        esac"""
        self.stub("bin/cargo", self.cargo)

    def test_a_program_is_built_once(self):
        for _ in range(2):
            status, said = self.run_script("crate", f"tool==1.0:{self.sum}")
            self.assertEqual(status, 0, said)
        program = said.strip()
        self.assertTrue(program.endswith("/tool"), said)
        with open(program, encoding="utf-8") as file:
            self.assertEqual(file.read(), "built\n")

    def test_another_crate_than_expected_is_not_compiled(self):
        status, said = self.run_script("crate", "tool==1.0:" + 64 * "0")
        self.assertIn(f"error: found another tool==1.0 than expected: SHA-256 {self.sum}, expected 000", said)
        self.assertEqual((status, said.count("\n")), (1, 1))

    def test_what_cannot_be_fetched_has_a_status_of_its_own(self):
        self.stub("bin/cargo", 'echo "error: could not find tool" >&2; exit 101')
        status, said = self.run_script("crate", f"tool==1.0:{self.sum}")
        self.assertIn("error: could not fetch the crate tool==1.0: could not find tool", said)
        self.assertEqual((status, said.count("\n")), (3, 1))

    def test_dry_run_makes_nothing(self):
        status, said = self.run_script("crate", "--dry-run", f"tool==1.0:{self.sum}")
        self.assertIn("would fetch tool==1.0 and build it", said)
        self.assertEqual(status, 0)
        self.assertFalse((self.dir / ".cache").exists())


class CheckModels(Stubs):
    """scripts/check-models, as far as it runs no checker."""

    def setUp(self):
        super().setUp()
        self.tree("scripts/check-models")
        self.stub("top/scripts/toolbox", f"echo $* >>{self.dir}/calls")

    def test_another_part_is_refused(self):
        status, said = self.run_script("check-models", "rx")
        self.assertIn("the parts are desc and spsc; there is no 'rx'", said)
        self.assertEqual((status, said.count("\n")), (2, 1))

    def test_dry_run_makes_nothing(self):
        status, said = self.run_script("check-models", "--dry-run", "spsc")
        self.assertIn("check: spsc", said)
        self.assertEqual(status, 0)
        self.assertEqual((self.dir / "calls").read_text(), "--list checkers create --dry-run\n")
        self.assertFalse((self.top / "build").exists())


if __name__ == "__main__":
    unittest.main()
