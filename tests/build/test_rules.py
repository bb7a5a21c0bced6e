# SPDX-License-Identifier: GPL-2.0
"""rust/standin/rules: what the compiler is given, by its version."""

import json
import subprocess

from support import TOP, Machine


class Rules(Machine):
    """The flags."""

    def flags(self, minor, kernel, arch="x86", rule="all:\n\t@echo '$(standin_flags)'", **settings):
        """Returns what rustc 1.MINOR is given where the kernel's makefiles have these flags; what is said when it is refused."""
        self.rustc(f"rustc 1.{minor}.0 (0123456789 2026-01-01)")
        text = "".join(f"{name} := {value}\n" for name, value in settings.items())
        (self.dir / "Makefile").write_text(
            f"SRCARCH := {arch}\nobj := {self.dir}\nsrc := {TOP}\nKBUILD_RUSTFLAGS := {kernel}\n{text}{rule}\ninclude {TOP}/rust/standin/rules\n"
        )
        done = subprocess.run(
            ["/usr/bin/make", "-s", "-C", self.dir, f"RUSTC={self.bin}/rustc", "all"],
            env={"PATH": f"{self.bin}:/usr/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        return (done.stdout or done.stderr).split()

    def test_jump_tables(self):
        for minor, expected, other in (
            (85, "-Zno-jump-tables", "-Cjump-tables=n"),
            (92, "-Zno-jump-tables", "-Cjump-tables=n"),
            (93, "-Cjump-tables=n", "-Zno-jump-tables"),
            (96, "-Cjump-tables=n", "-Zno-jump-tables"),
        ):
            for given in (expected, other):
                flags = self.flags(minor, f"-Cpanic=abort {given} -Clto=n")
                self.assertIn(expected, flags)
                self.assertNotIn(other, flags)
                self.assertIn("-Cpanic=abort", flags)
                self.assertNotIn("-Clto=n", flags)

    def test_target(self):
        for minor in (85, 95, 96):
            flags = self.flags(minor, "")
            self.assertIn("-Zunstable-options", flags)
            self.assertIn(f"--target={self.dir}/rust/standin/out/target.json", flags)

    def test_frame_pointers(self):
        flag = "-Zllvm_module_flag=frame-pointer:u32:2:max"
        self.assertIn(flag, self.flags(97, f"-Cforce-frame-pointers=y {flag}"))
        flags = self.flags(98, f"-Cforce-frame-pointers=y {flag}")
        self.assertIn("-Cforce-frame-pointers=y", flags)
        self.assertNotIn(flag, flags)

    def target(self, minor, **settings):
        """Returns what target.json says to rustc 1.MINOR; the features are a set."""
        made = self.dir / "target.json"
        made.unlink(missing_ok=True)
        self.flags(minor, "", rule=f"all: {made}\n{made}: {TOP}/rust/standin/target.json.in\n\t@$(cmd_standin_target)", comma=",", **settings)
        target = json.loads(made.read_text())
        return target | {"features": set(target["features"].split(","))}

    def test_target_file(self):
        for minor, abi, width in ((85, None, "64"), (86, "x86-softfloat", "64"), (91, "x86-softfloat", 64), (98, "softfloat", 64)):
            target = self.target(minor)
            self.assertEqual((target.get("rustc-abi"), target["target-pointer-width"]), (abi, width))
            self.assertEqual(target["features"], {"-mmx", "+soft-float"})

    def test_cleaning_needs_no_compiler(self):
        # As the kernel's scripts/Makefile.clean includes it, which has no configuration; and as scripts/Makefile.build does.
        for configuration, expected in (("", (0, "rust/standin/out")), ("CONFIG_MODULES := y\n", (2, "found no /nowhere/rustc, expected rustc 1.85 or later"))):
            (self.dir / "Makefile").write_text(
                f"SRCARCH := x86\nobj := {self.dir}\nsrc := {TOP}\nobjtree := {self.dir}\n{configuration}all:\n\t@echo $(clean-files)\ninclude {TOP}/Kbuild\n"
            )
            done = subprocess.run(
                ["/usr/bin/make", "-s", "-C", self.dir, "RUSTC=/nowhere/rustc", "all"],
                env={"PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            status, words = expected
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(words, done.stdout + done.stderr)

    def test_mitigations_of_the_target(self):
        retpolines = {f"+retpoline-{what}" for what in ("external-thunk", "indirect-branches", "indirect-calls")}
        self.assertLessEqual(retpolines, self.target(85, CONFIG_MITIGATION_RETPOLINE="y")["features"])
        self.assertLessEqual({"+harden-sls-ijmp", "+harden-sls-ret"}, self.target(85, CONFIG_MITIGATION_SLS="y")["features"])
        self.assertIn("-apxf", self.target(85, CONFIG_X86_NATIVE_CPU="y")["features"])

    def test_checked_memory(self):
        sanitizer = "-Zsanitizer=kernel-address"
        self.assertIn(sanitizer, self.flags(85, "", CONFIG_KASAN="y", RUSTFLAGS_KASAN=sanitizer))
        self.assertNotIn(sanitizer, self.flags(85, "", RUSTFLAGS_KASAN=sanitizer))
        self.assertIn("scripts/Makefile.kasan", self.flags(85, "", CONFIG_KASAN="y"))

    def test_checked_calls(self):
        sanitizer = "-Zsanitizer=kcfi"
        for name in ("CONFIG_CFI", "CONFIG_CFI_CLANG"):
            flags = self.flags(85, sanitizer, **{name: "y"})
            self.assertIn(sanitizer, flags)
            # rust/net asks for it.
            self.assertIn("CONFIG_CFI", flags)
            self.assertIn("(CONFIG_CFI),", self.flags(85, "", **{name: "y"}))

    def test_another_compiler(self):
        """Under the same name, after an upgrade, it reads nothing that the one before it wrote: each command is another one, so make runs it again."""
        for name in ("core", "builtins", "macros", "kernel", "module"):
            commands = [self.flags(minor, "", rule=f'all:\n\t@echo "$(cmd_standin_{name})"') for minor in (94, 93)]
            self.assertEqual(len(commands[0]), len(commands[1]))
            self.assertEqual([word for word in commands[0] if "1.94.0" in word], ["1.94.0"], name)
            self.assertNotEqual(*commands)

    def test_kunit(self):
        self.assertIn("CONFIG_KUNIT", self.flags(85, "", CONFIG_KUNIT="y"))
        for settings in ({"CONFIG_KUNIT": "m"}, {}):
            self.assertNotIn("CONFIG_KUNIT", self.flags(85, "", **settings))

    def test_refusals(self):
        self.assertIn("CONFIG_RANDSTRUCT.", self.flags(85, "", CONFIG_RANDSTRUCT="y"))
        self.assertIn("later.", self.flags(84, ""))

    def test_other_architectures(self):
        for arch in ("arm64", "riscv", "loongarch", "arm", "um"):
            said = " ".join(self.flags(85, "", arch=arch))
            self.assertIn(f"the stand-in for the kernel crate is for x86_64 only: Linux for {arch} must have been built with Rust", said)
            self.assertNotIn("--target", said)


class Kbuild(Machine):
    """Kbuild itself."""

    METADATA = False

    def value(self, name, arch="x86", standin=False, **settings):
        """The words of a variable, and what is said when there are none."""
        if not standin:
            (self.dir / "rust").mkdir(exist_ok=True)
            (self.dir / "rust/libkernel.rmeta").touch()
        text = "".join(f"{key} := {value}\n" for key, value in settings.items())
        (self.dir / "Makefile").write_text(
            f"SRCARCH := {arch}\nobj := {self.dir}\nobjtree := {self.dir}\nsrctree := {self.dir}\nsrc := {TOP}\nCONFIG_RUST := {'' if standin else 'y'}\n"
            f"c_flags := -O2 -mskip-rax-setup\n{text}all:\n\t@echo '$({name})'\ninclude {TOP}/Kbuild\n"
        )
        return self.make()

    def make(self):
        """Runs it; returns the words, and what is said."""
        done = subprocess.run(["/usr/bin/make", "-s", "-C", self.dir, f"RUSTC={self.bin}/rustc", "all"], capture_output=True, text=True, check=False)
        return done.stdout.split(), done.stderr


class Objects(Kbuild):
    """The files that the module is made of."""

    def objects(self, **settings):
        """The objects of the stand-in."""
        objects, error = self.value("r8168_rust-y", **settings)
        self.assertIn("rust/r8168_rust.o", objects, error)
        return [name for name in objects if "standin" in name]

    def test_kernel_crate(self):
        self.assertEqual(self.objects(), [])
        self.assertEqual(self.objects(CONFIG_KUNIT="y"), [])

    def test_standin(self):
        self.assertEqual(self.objects(standin=True), ["rust/standin/standin.o"])
        self.assertEqual(self.objects(STANDIN="1"), ["rust/standin/standin.o"])
        self.assertEqual(self.objects(STANDIN="0"), [])
        self.assertIn("STANDIN is 1, 0 or nothing, not 'yes'", self.value("r8168_rust-y", STANDIN="yes")[1])

    def test_kunit(self):
        self.assertEqual(self.objects(standin=True, CONFIG_KUNIT="y"), ["rust/standin/standin.o", "rust/standin/kunit.o"])
        self.assertEqual(self.objects(standin=True, CONFIG_KUNIT="m"), ["rust/standin/standin.o"])


class Headers(Kbuild):
    """The bindings are made again when a header changes that they are of, as when a kernel of one's own is configured anew."""

    def test_dependencies(self):
        self.value("all")
        makefile = self.dir / "Makefile"
        rules = "".join(f"if_changed{suffix} = @echo {suffix or 'none'} $(1)\n" for suffix in ("", "_dep"))
        makefile.write_text(makefile.read_text().replace("all:", f"{rules}FORCE:\nall: {self.dir}/rust/bindings/generated.rs"))
        said, error = self.make()
        self.assertIn("_dep net_bindings", " ".join(said), error)


class Bindings(Kbuild):
    """The target that bindgen is given, by the architecture that the kernel's makefiles name."""

    def flags(self, arch):
        """The flags for clang, and what is said when there are none."""
        return self.value("bindings_c_flags", arch)

    def test_of_this_architecture(self):
        flags, _ = self.flags("x86")
        self.assertIn("--target=x86_64-linux-gnu", flags)
        self.assertIn("-O2", flags)
        self.assertNotIn("-mskip-rax-setup", flags)

    def test_of_another(self):
        flags, _ = self.flags("arm64")
        self.assertIn("--target=aarch64-linux-gnu", flags)

    def test_of_one_that_the_kernel_has_no_rust_for(self):
        flags, said = self.flags("sparc")
        self.assertEqual(flags, [])
        self.assertIn("r8168_rust cannot be built for the architecture sparc", said)
