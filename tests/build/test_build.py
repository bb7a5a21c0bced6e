# SPDX-License-Identifier: GPL-2.0
"""Tests of what scripts/build chooses and refuses, on trees laid out as the distributions have them. Programs are stubs: nothing is compiled."""

import subprocess

from support import DEBIAN_GCC, NO_LIBCLANG, OTHER, RUSTC, TOP, TRIXIE, Machine


class Compilers(Machine):
    """The compilers that can read the kernel's metadata."""

    def test_the_very_compiler(self):
        self.assertNotIn("STANDIN=1", self.builds("on the kernel's own crate"))

    def test_another_point_release(self):
        self.rustc(OTHER)
        self.assertIn("STANDIN=1", self.builds("on the stand-in", TRIXIE, OTHER))
        self.assertNotIn("RUSTC_FORCE_RUSTC_VERSION", (self.dir / "environment").read_text())

    def test_the_same_version_built_otherwise(self):
        self.rustc("rustc 1.85.1 (4eb161250 2025-03-15)")
        self.assertIn("STANDIN=1", self.builds("on the stand-in"))

    def test_a_kernel_that_does_not_name_it(self):
        self.configure(RUSTC_VERSION_TEXT=None)
        self.assertIn("STANDIN=1", self.builds("on the stand-in"))

    def test_metadata_that_was_made_again(self):
        (self.kdir / "rust/made-by").write_text(OTHER + "\n")
        self.assertIn("STANDIN=1", self.builds(f"metadata is of {OTHER}"))
        self.rustc(OTHER)
        self.assertNotIn("STANDIN=1", self.builds("on the kernel's own crate"))
        self.assertIn(f"RUSTC_FORCE_RUSTC_VERSION={TRIXIE.removeprefix('rustc ')}\n", (self.dir / "environment").read_text())

    def test_the_compiler_of_the_kernel_under_another_name(self):
        self.rustc("rustc 1.75.0 (82e1608df 2023-12-21)")
        self.rustc(TRIXIE, "rustc-1.85")
        self.rustc("rustc 1.91.1 (ed61e7d7e 2025-11-07)", "rustc-1.91")
        self.assertIn(f"RUSTC={self.bin}/rustc-1.85", self.builds("on the kernel's own crate"))

    def test_a_newer_compiler_beside_one_that_is_too_old(self):
        self.rustc("rustc 1.75.0 (82e1608df 2023-12-21)")
        self.rustc("rustc 1.91.1 (ed61e7d7e 2025-11-07)", "rustc-1.91")
        self.rustc("rustc 1.89.0 (29483883e 2025-08-04)", "rustc-1.89")
        self.assertIn(f"RUSTC={self.bin}/rustc-1.91", self.builds("on the stand-in"))
        self.rustc("rustc 1.91.1 (ed61e7d7e 2025-11-07)", "rustc-1.91", source=False)
        self.refuses("install rust-1.91-src")

    def test_too_old(self):
        self.rustc("rustc 1.63.0 (4b91a6ea7 2022-08-08)")
        self.refuses("found rustc 1.63.0", "expected rustc 1.85 or later")

    def test_no_source(self):
        self.rustc(OTHER, source=False)
        self.refuses("found no source of Rust's core library", "install rust-src")

    def test_rustup_has_none(self):
        self.stub("rustc", "#!/bin/sh\necho 'error: no default is configured' >&2\necho 'help: choose one' >&2\nexit 1\n")
        self.refuses("rustc does not run", "no default is configured")

    def test_no_directory_of_its_own(self):
        self.stub("rustc", f"#!/bin/sh\ncase $1 in --version) echo '{OTHER}' ;; *) echo 'error: what?' >&2; exit 3 ;; esac\n")
        self.refuses("rustc --print sysroot", "what?")

    def test_of_rustup(self):
        """It may be another one in another directory, as rustup has it: what is chosen is the compiler itself."""
        toolchain = self.dir / "rustup/toolchains/1.96.0-x86_64"
        version = "rustc 1.96.0 (ac68faa20 2026-05-25)"
        real = self.stub(toolchain / "bin/rustc", RUSTC.format(version, toolchain))
        self.stub("rustc", RUSTC.format(version, toolchain).replace("\n", "\necho 'info: it may say something first' >&2\n", 1))
        self.refuses("rustup component add rust-src")
        library = toolchain / "lib/rustlib/src/rust/library/core/src"
        library.mkdir(parents=True)
        (library / "lib.rs").touch()
        self.assertIn(f"RUSTC={real}", self.builds("on the stand-in"))

    def test_no_linker_for_macros(self):
        """rustc has procedural macros linked by `cc`; a compiler of rustup's does not bring it."""
        (self.bin / "cc").unlink()
        self.refuses("found no cc", "install gcc", STANDIN="1")
        self.builds("on the kernel's own crate")

    def test_names(self):
        self.rustc(TRIXIE, "../own/rustc")
        self.assertIn(f"RUSTC={self.dir}/own/rustc", [argument.replace("/./", "/") for argument in self.builds(RUSTC="./own/rustc")])
        self.rustc(TRIXIE, "../own dir/rustc")
        self.refuses("path without spaces", RUSTC=str(self.dir / "own dir/rustc"))
        self.refuses("one program", RUSTC="rustup run nightly rustc")
        self.refuses("path without spaces", PATH=f"{self.dir}/own dir:{self.bin}")
        self.refuses("found no /nowhere/rustc", RUSTC="/nowhere/rustc")


class Kernels(Machine):
    """The demands of the kernel's configuration."""

    def test_plain(self):
        self.configure(RUST=None, RUSTC_VERSION_TEXT=None)
        arguments = self.builds("the kernel was built without Rust")
        for expected in ("STANDIN=1", "CC=x86_64-linux-gnu-gcc-14", f"RUSTC={self.bin}/rustc", f"BINDGEN={self.bin}/bindgen", "modules"):
            self.assertIn(expected, arguments)
        self.assertFalse([argument for argument in arguments if argument.startswith("LLVM")])

    def test_standin_is_forced(self):
        self.assertIn("STANDIN=1", self.builds("as STANDIN asks for", STANDIN="1"))

    def test_what_standin_may_be(self):
        for value in ("", "0"):
            self.assertFalse([argument for argument in self.builds("on the kernel's own crate", STANDIN=value) if argument.startswith("STANDIN")])
        for value in ("yes", "2", "1 1"):
            (self.dir / "make").unlink(missing_ok=True)
            status, error = self.build(STANDIN=value)
            self.assertEqual((status, error), (2, f"build: error: STANDIN is 1, 0 or nothing, not '{value}'; see --help\n"))
            self.assertFalse((self.dir / "make").exists())

    def test_configuration_elsewhere(self):
        (self.kdir / ".config").unlink()
        self.configure("include/config/auto.conf")
        self.builds("on the kernel's own crate")

    def test_randomised_structures(self):
        self.configure(RUST=None, RANDSTRUCT_NONE="y")
        self.builds("on the stand-in")
        self.configure(RUST=None, RANDSTRUCT="y", RANDSTRUCT_FULL="y")
        self.refuses("CONFIG_RANDSTRUCT")

    def test_checked_memory(self):
        self.configure(RUST=None, KASAN="y")
        self.builds("on the stand-in")

    def test_checked_calls(self):
        for name in ("CFI", "CFI_CLANG"):
            self.configure(RUST=None, **{name: "y"})
            self.refuses("CONFIG_CFI")
            self.configure(**{name: "y"})
            self.builds("on the kernel's own crate")
            self.builds("as STANDIN asks for", STANDIN="1")

    def test_other_architectures(self):
        self.configure(X86_64=None, ARM64="y")
        self.builds("on the kernel's own crate")
        self.configure(X86_64=None, ARM64="y", RUST=None)
        self.refuses("another architecture than x86_64")


class Places(Machine):
    """The directories: of the kernel, and of what is built."""

    # As root, but for the right to read and write what others may not.
    USER = ("/usr/bin/setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")

    def test_names_that_make_does_not_take(self):
        for name in ("with a blank", "with:colon", "with#hash", "with%percent", "with$dollar", "with'quote", "with,comma"):
            self.refuses(f"{self.dir}/{name}", "--out", out=name)
            other = self.kdir.with_name(name)
            other.symlink_to(self.kdir)
            self.refuses(f"{other}", "KDIR", KDIR=str(other))

    def test_not_writable(self):
        (self.dir / "file").touch()
        for out in ("file", "file/below"):
            self.refuses(f"cannot write in {self.dir}/{out}", "--out", out=out)
        (self.dir / "out").mkdir()
        (self.dir / "out").chmod(0o555)
        self.refuses(f"cannot write in {self.dir}/out", "another user", within=self.USER)

    def test_not_readable(self):
        (self.kdir / ".config").chmod(0)
        self.refuses(f"cannot read {self.kdir}/.config", within=self.USER)

    def test_the_kernel_that_a_directory_is_of(self):
        """Is named, not that which runs."""
        release = self.kdir / "include/config/kernel.release"
        release.parent.mkdir(parents=True)
        release.write_text("6.19.0-own\n")
        self.configure(RUST=None, RANDSTRUCT="y")
        status, error = self.build("")
        self.assertEqual((status, len(error.splitlines())), (1, 1), error)
        self.assertIn("the kernel 6.19.0-own cannot be built for", error)


class CCompilers(Machine):
    """gcc or clang, as the kernel was built."""

    CLANG = {"CC_IS_GCC": None, "GCC_VERSION": "0", "CC_IS_CLANG": "y", "CC_VERSION_TEXT": "clang version 19.1.7", "CLANG_VERSION": "190107"}

    def clang(self, version, suffix=""):
        """Puts LLVM of this version there."""
        for name in ("clang", "ld.lld", "llvm-nm"):
            self.stub(name + suffix, f"#!/bin/sh\necho {version}\n")

    def test_gcc(self):
        self.assertIn("CC=x86_64-linux-gnu-gcc-14", self.builds())
        (self.bin / "x86_64-linux-gnu-gcc-14").unlink()
        self.assertIn("CC=gcc", self.builds())
        self.stub("gcc", "#!/bin/sh\necho 12.2.0\n")
        self.refuses("found no x86_64-linux-gnu-gcc-14", "install gcc-14 ", DEBIAN_GCC)
        self.assertIn("CC=gcc", self.builds(CC="gcc"))
        (self.bin / "gcc").unlink()
        self.refuses("found no x86_64-linux-gnu-gcc-14")
        self.configure(CC_VERSION_TEXT="gcc (GCC) 15.2.1 20251022 (Red Hat 15.2.1-3)")
        (self.dir / "os-release").write_text("ID=fedora\n")
        self.refuses("found no gcc; install gcc (")

    def test_clang_of_that_version(self):
        self.configure(**self.CLANG, LD_IS_LLD="y")
        self.refuses("found no clang;", "install clang lld llvm (", "clang version 19.1.7")
        self.clang("21.1.0")
        self.assertIn("LLVM=1", self.builds())
        self.clang("19.1.7", "-19")
        self.assertIn("LLVM=-19", self.builds())
        self.clang("19.1.2")
        arguments = self.builds()
        self.assertIn("LLVM=1", arguments)
        self.assertFalse([argument for argument in arguments if argument.startswith("CC=")])
        (self.bin / "ld.lld").unlink()
        self.refuses("found no ld.lld;")

    def test_clang_with_the_linker_of_gnu(self):
        self.configure(**self.CLANG, LD_IS_BFD="y")
        self.clang("19.1.7", "-19")
        arguments = self.builds()
        self.assertIn("CC=clang-19", arguments)
        self.assertFalse([argument for argument in arguments if argument.startswith("LLVM=")])

    def test_clang_that_is_named(self):
        self.configure(**self.CLANG, LD_IS_LLD="y")
        self.clang("20.1.0", "-20")
        self.assertIn("LLVM=-20", self.builds(LLVM="-20"))
        self.refuses("found no clang-21;", "install clang-21 lld-21 llvm-21", LLVM="-21")
        self.refuses("found no /opt/llvm/bin/clang;", LLVM="/opt/llvm/bin/")

    def test_what_dkms_adds(self):
        self.configure(**self.CLANG, LD_IS_LLD="y")
        self.clang("19.1.7", "-19")
        status, error = self.build(self.KVER, "CC=clang", "LD=ld.lld", "LLVM=1")
        self.assertEqual(status, 0, error)
        self.assertIn("LLVM=-19", (self.dir / "make").read_text().splitlines())


class Bindgen(Machine):
    """The bindgen that there is, and whether it runs."""

    def test_none(self):
        (self.bin / "bindgen").unlink()
        self.refuses("found no bindgen; install bindgen")

    def test_too_old(self):
        self.bindgen("0.65.1", old=True)
        self.refuses("found bindgen 0.65.1, expected bindgen 0.71 or later", "BINDGEN=")
        self.bindgen("0.71.1", "bindgen-0.71")
        self.assertIn(f"BINDGEN={self.bin}/bindgen-0.71", self.builds())
        self.refuses("found bindgen 0.65.1", BINDGEN="bindgen")

    def test_no_libclang(self):
        self.stub("bindgen", NO_LIBCLANG)
        self.refuses("libclang-dev", "Unable to find libclang")

    def test_relative(self):
        self.bindgen("0.72.1", "../own/bindgen")
        self.assertIn(f"BINDGEN={self.dir}/own/bindgen", [argument.replace("/./", "/") for argument in self.builds(BINDGEN="./own/bindgen")])


class Debian(Machine):
    """Debian's headers: Rust, but no metadata."""

    METADATA = False

    def test_what_is_there(self):
        self.assertIn("STANDIN=1", self.builds("the kernel's headers have no Rust metadata"))

    def test_what_is_missing(self):
        self.rustc(TRIXIE, source=False)
        self.refuses("install rust-src")
        (self.bin / "rustc").unlink()
        self.refuses("found no rustc; install rustc")
        (self.bin / "make").unlink()
        self.refuses("install the package make")
        (self.kdir / ".config").unlink()
        self.refuses("found no kernel's headers in", "install linux-headers-7.3.4-test")


class Ubuntu(Machine):
    """Ubuntu's headers: rust is a link to what linux-lib-rust-KVER has."""

    KVER = "7.0.0-44-generic"
    OS = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n'
    RUSTC = "rustc 1.93.1 (01f6ddf75 2026-02-11) (built from a source tarball)"
    CONFIG = {
        **Machine.CONFIG,
        "RUSTC_VERSION_TEXT": RUSTC,
        "CC_VERSION_TEXT": "x86_64-linux-gnu-gcc-15 (Ubuntu 15.2.0-16ubuntu1) 15.2.0",
        "GCC_VERSION": "150200",
        "MODVERSIONS": "y",
        "GENDWARFKSYMS": "y",
    }
    METADATA = False

    def setUp(self):
        super().setUp()
        self.library = self.dir / "src/linux-lib-rust-7.0.0-44-generic/rust"
        (self.kdir / "rust").symlink_to("../../../src/linux-lib-rust-7.0.0-44-generic/rust")
        self.rustc(self.RUSTC)
        self.stub("x86_64-linux-gnu-gcc-15", "#!/bin/sh\n")

    def test_with_the_metadata(self):
        self.library.mkdir(parents=True)
        (self.library / "libkernel.rmeta").touch()
        self.assertNotIn("STANDIN=1", self.builds("on the kernel's own crate"))

    def test_without_it(self):
        self.assertIn("STANDIN=1", self.builds("which the package linux-lib-rust-7.0.0-44-generic has"))
        self.rustc(self.RUSTC, source=False)
        self.refuses("which the package linux-lib-rust-7.0.0-44-generic has", "install rust-src")

    def test_what_is_missing(self):
        (self.kdir / ".config").unlink()
        self.refuses("install linux-headers-7.0.0-44-generic")


class Fedora(Machine):
    """Fedora's headers, all in one tree."""

    KVER = "7.1.8-200.fc43.x86_64"
    OS = 'NAME="Fedora Linux"\nID=fedora\n'
    RUSTC = "rustc 1.97.1 (8bab26f4f 2026-07-14) (Fedora 1.97.1-1.fc43)"
    CONFIG = {**Machine.CONFIG, "RUSTC_VERSION_TEXT": RUSTC, "CC_VERSION_TEXT": "gcc (GCC) 15.2.1 20260123 (Red Hat 15.2.1-7)", "GCC_VERSION": "150201"}

    def test_the_compiler_of_that_day(self):
        self.rustc(self.RUSTC)
        arguments = self.builds("on the kernel's own crate")
        self.assertIn("CC=gcc", arguments)
        self.rustc("rustc 1.97.1 (8bab26f4f 2026-07-14) (Fedora 1.97.1-2.fc43)")
        self.assertIn("STANDIN=1", self.builds("on the stand-in"))

    def test_what_is_missing(self):
        self.rustc(TRIXIE, source=False)
        self.refuses("install rust-src")
        (self.bin / "rustc").unlink()
        self.refuses("install rust", "found no rustc")
        self.rustc(self.RUSTC)
        (self.bin / "bindgen").unlink()
        self.refuses("install bindgen-cli")
        self.stub("bindgen", NO_LIBCLANG)
        self.refuses("clang-libs")
        (self.kdir / ".config").unlink()
        self.refuses("install kernel-devel-7.1.8-200.fc43.x86_64")


class Arch(Machine):
    """Arch's headers; the package of a kernel is named beside its modules."""

    KVER = "6.18.48-1-lts"
    OS = 'NAME="Arch Linux"\nID=arch\n'
    RUSTC = "rustc 1.98.0 (88a4f5a24 2026-08-20) (Arch Linux rust 1:1.98.0-1)"
    CONFIG = {**Machine.CONFIG, "RUSTC_VERSION_TEXT": RUSTC, "CC_VERSION_TEXT": "gcc (GCC) 16.1.1 20260625", "GCC_VERSION": "160101"}

    def test_the_compiler_of_that_day(self):
        self.rustc(self.RUSTC)
        self.builds("on the kernel's own crate")

    def test_what_is_missing(self):
        (self.bin / "bindgen").unlink()
        self.refuses("install rust-bindgen")
        (self.kdir / ".config").unlink()
        self.refuses("install linux-headers")
        (self.kdir.parent / "pkgbase").write_text("linux-lts\n")
        self.refuses("install linux-lts-headers")


class Suse(Machine):
    """openSUSE's headers; its compilers carry their version in their names."""

    KVER = "6.12.0-160000.9-default"
    OS = 'NAME="openSUSE Leap"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\n'
    CONFIG = {key: value for key, value in Machine.CONFIG.items() if not key.startswith("RUST")}
    METADATA = False

    def test_without_rust(self):
        self.assertIn("STANDIN=1", self.builds("on the stand-in"))

    def test_what_is_missing(self):
        self.rustc(TRIXIE, source=False)
        self.refuses("install rust-src")
        (self.bin / "bindgen").unlink()
        self.refuses("install rust-bindgen")
        (self.kdir / ".config").unlink()
        self.refuses("install kernel-default-devel")


class Unknown(Machine):
    """A distribution that is not known: its likes are named."""

    OS = "ID=void\n"

    def test_what_is_missing(self):
        (self.bin / "bindgen").unlink()
        self.refuses("bindgen (Debian, Ubuntu), bindgen-cli (Fedora, RHEL), rust-bindgen (Arch)")


class Arguments(Machine):
    """The arguments that are not understood."""

    def test_usage(self):
        for arguments in (["--what"], [self.KVER, "6.12"], ["--out"]):
            done = subprocess.run([TOP / "scripts/build", *arguments], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("Usage:", subprocess.run([TOP / "scripts/build", "--help"], capture_output=True, text=True, check=True).stdout)
