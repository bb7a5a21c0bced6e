# SPDX-License-Identifier: GPL-2.0
"""scripts/unpack-vmlinuz on damaged images; scripts/layout, next-kernel, test-distro and test-kernels with stubs for what they call."""

import gzip
import io
import lzma
import shutil
import struct
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
KERNEL = b"\x7fELF" + bytes(range(256)) * 200


def image(payload, length=None):
    """A boot image with this compressed kernel in it."""
    header = bytearray(1024)
    header[0x1F1] = 1
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", header, 0x248, 16, len(payload) if length is None else length)
    return bytes(header) + bytes(16) + payload


def zstd(data):
    """Compresses as zstd does."""
    return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout


class Directory(unittest.TestCase):
    """Has a directory of its own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)


class Keys(Directory):
    """`key` of scripts/lib.sh, by which what takes long to make is known again."""

    def key(self, content):
        """The key of a file, of one with a line about its licence, and of one with that line below the first."""
        first, _, rest = content.partition(b"\n")
        licence = b"# SPDX-License-Identifier: GPL-2.0\n"
        keys = []
        for text in (content, licence + content, first + b"\n" + licence + rest):
            (self.dir / "list").write_bytes(text)
            script = f'top={TOP}; . "$top/scripts/lib.sh"; key list'
            keys.append(subprocess.run(["sh", "-c", script], cwd=self.dir, capture_output=True, text=True, check=True).stdout)
        return keys

    def test_the_licence_does_not_count(self):
        content = b"#!/bin/sh\n\xff\x00\nno end of the line"
        of_content = subprocess.run(["sha256sum"], input=content, capture_output=True, check=True).stdout.decode()[:12]
        self.assertEqual(self.key(content), [f"{of_content}\n"] * 3)

    def test_content_counts(self):
        self.assertNotEqual(self.key(b"vim\n"), self.key(b"# vim\n"))


class Where(unittest.TestCase):
    """The scripts of the shell find what belongs to them."""

    def test_with_cdpath(self):
        """The shell looks there first for where `cd` is to go, and then says where it has gone."""
        scripts = [path for path in [*TOP.glob("scripts/*"), TOP / "packaging/dkms/can-build"] if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")]
        self.assertGreater(len(scripts), 40)
        for script in scripts:
            with self.subTest(script.name):
                name = str(script.relative_to(TOP))
                done = subprocess.run([name, "--help"], cwd=TOP, env={"PATH": "/usr/bin", "CDPATH": "."}, capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn("Usage:", done.stdout)


class Unpack(Directory):
    """scripts/unpack-vmlinuz."""

    def unpack(self, data, out="out/vmlinux"):
        """Unpacks an image; returns the exit status and what is said."""
        (self.dir / "out").mkdir(exist_ok=True)
        (self.dir / "vmlinuz").write_bytes(data)
        done = subprocess.run(["python3", "-B", TOP / "scripts/unpack-vmlinuz", "vmlinuz", out], cwd=self.dir, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    def refused(self, data, said, **options):
        """It is refused in one line, and nothing is left."""
        status, error = self.unpack(data, **options)
        self.assertEqual(status, 1, error)
        self.assertEqual(len(error.splitlines()), 1, error)
        self.assertIn(said, error)
        self.assertEqual(list((self.dir / "out").iterdir()), [])

    def test_whole_and_cut_off(self):
        for compress in (gzip.compress, lzma.compress, zstd):
            payload = compress(KERNEL) + struct.pack("<I", len(KERNEL))
            self.assertEqual(self.unpack(image(payload)), (0, ""))
            self.assertEqual((self.dir / "out/vmlinux").read_bytes(), KERNEL)
            (self.dir / "out/vmlinux").unlink()
            whole = image(payload)
            for length in (1040 + 4, 1040 + 20, len(whole) - 20, len(whole) - 1):
                self.refused(whole[:length], f"cut off: found {length} bytes, expected {len(whole)}")
            for length in (1, 0x203, 0x24F):
                self.refused(whole[:length], "found no header")
            # The header is wrong, the file is whole.
            self.refused(image(payload, length=len(payload) - 20), "")

    def test_others(self):
        self.refused(image(b"BZh9" + bytes(100)), "compressed otherwise")
        self.refused(image(gzip.compress(b"no kernel") + bytes(4)), "no ELF file")
        self.refused(image(gzip.compress(KERNEL) + bytes(4)), "No such file", out="nowhere/vmlinux")


class Stubs(Directory):
    """A tree in which a script has stubs for the scripts that it calls."""

    KVER = "7.3.4+deb13-amd64"

    def tree(self, *names):
        """Copies these scripts."""
        self.top = self.dir / "top"
        (self.top / "scripts").mkdir(parents=True)
        for name in ("versions.conf", "scripts/lib.sh", "scripts/archive.sh", "scripts/building.sh", *names):
            shutil.copy(TOP / name, self.top / name)

    def stub(self, path, text):
        """Writes a program."""
        path = self.dir / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run_script(self, name, *arguments, **environment):
        """Runs one with these variables; returns the exit status and all that it says."""
        done = subprocess.run(
            [self.top / "scripts" / name, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{self.dir}/bin:/usr/bin", "HOME": str(self.dir), **environment},
        )
        return done.returncode, done.stdout + done.stderr


class Layout(Stubs):
    """scripts/layout, with what pahole prints."""

    TYPES = "struct phy_device {\n\tint                        addr;                 /*     0     4 */\n\n\t/* size: 4, cachelines: 1, members: 1 */\n};\n"

    def setUp(self):
        super().setUp()
        self.tree("scripts/layout")
        self.stub("top/scripts/kdir", f"echo {self.dir}/kdir")
        self.stub("top/scripts/kernel", f"echo {self.KVER} {self.dir}/kernel")
        self.stub("top/scripts/toolbox", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        self.stub("bin/make", 'for argument; do case $argument in M=*) touch "${argument#M=}/headers.o" ;; esac; done')
        self.stub("bin/python3", "")
        self.stub("bin/pahole", f'case $* in *--sizes*) printf "phy_device\\t4\\t0\\n" ;; *-C*) cat {self.dir}/${{5##*/}} ;; esac')
        for side in ("headers", "image"):
            (self.dir / side).write_text(self.TYPES)

    def test_same(self):
        status, said = self.run_script("layout", self.KVER)
        self.assertEqual(status, 0, said)
        self.assertIn("1 structures of the headers, in 2 lines", said)

    def test_different(self):
        (self.dir / "image").write_text(self.TYPES.replace("/*     0 ", "/*     8 "))
        status, said = self.run_script("layout", self.KVER)
        self.assertEqual(status, 1, said)
        self.assertIn("1 of 1 structures are not those", said)

    def test_no_members(self):
        for side in ("headers", "image"):
            (self.dir / side).write_text(self.TYPES.replace("/*", "//"))
        status, said = self.run_script("layout", self.KVER)
        self.assertEqual(status, 1, said)
        self.assertIn("found no member", said)


class Next(Stubs):
    """scripts/next-kernel: what is put on the page."""

    LOG = """build: on the stand-in for the kernel crate: the kernel was built without Rust
TOP/rust/helpers/helpers.c:12:5: error: too many arguments to function 'netif_rx'
error[E0425]: cannot find function `napi_enable` in module `bindings`
   --> TOP/rust/net/napi.rs:34:5
    |
error: aborting due to 1 previous error
build: error: the module does not build for next, see above"""

    def page(self, build, layout):
        """Returns the exit status and the page."""
        self.tree("scripts/next-kernel")
        (self.dir / "kdir").mkdir()
        (self.dir / "kdir/.config").touch()
        out = self.top / "build/next/module/rust/helpers"
        self.stub("top/scripts/toolbox", f"mkdir -p {out}; echo 'static_assert(sizeof(struct phy_device) == 4);' >{out}/sizes.h; {build}")
        self.stub("top/scripts/layout", layout)
        return self.run_script("next-kernel", str(self.dir / "kdir"))

    def test_errors_and_changes(self):
        (self.dir / "log").write_text(self.LOG.replace("TOP/", f"{self.dir}/top/build/next/module/"))
        changes = "\n".join(
            (
                "before:  struct phy_device: int addr; /* 0 4 */",
                "before:  struct phy_device: int old; /* 4 4 */",
                "before:  struct phy_device: /* size: 8, members: 2 */",
                "after:   struct phy_device: long new; /* 0 8 */",
                "after:   struct phy_device: int addr; /* 8 4 */",
                "after:   struct phy_device: /* size: 12, members: 2 */",
                "before:  struct other: int x; /* 0 4 */",
                "after:   struct other: int x; /* 8 4 */",
            )
        )
        status, said = self.page(f"cat {self.dir}/log; exit 1", f"echo '{changes}'; exit 1")
        self.assertEqual(status, 1, said)
        for expected in (
            "the module: does not build, 2 errors",
            "  rust/helpers/helpers.c:12:5: error: too many arguments to function 'netif_rx'",
            "  rust/net/napi.rs:34:5: error[E0425]: cannot find function `napi_enable` in module `bindings`",
            "reads: 1 of 1 differ (2 of all",
            "  gone: struct phy_device: int old; /* 4 */",
            "  new:  struct phy_device: long new; /* 8 */",
        ):
            self.assertIn(expected, said.splitlines() if expected.startswith(" ") else said)
        self.assertNotIn("int addr", said)
        self.assertNotIn("struct other", said)

    def test_moved(self):
        status, said = self.page(
            "", "echo 'before:  struct phy_device: int addr; /* 0 4 */'; echo 'after:   struct phy_device: int addr; /* 8: 2 4 */'; exit 1"
        )
        self.assertEqual(status, 0, said)
        self.assertIn("  moved: struct phy_device", said.splitlines())

    def test_nothing(self):
        status, said = self.page("", "")
        self.assertEqual(status, 0, said)
        self.assertIn("the module: builds\n", said)
        self.assertIn("reads: 0 of 1 differ (0 of all", said)

    def test_no_headers(self):
        status, said = self.page("exit 1", "echo 'layout: error: the headers do not compile in x' >&2; exit 1")
        self.assertEqual(status, 1, said)
        self.assertIn("structures: not compared: the headers do not compile in x", said)


class Distro(Stubs):
    """scripts/test-distro on packages of a kernel, with stubs for what unpacks, builds and boots."""

    def distro(self, *packages, files=()):
        """Tries packages, each a list of files with their content; returns the exit status and what was said."""
        self.tree("scripts/test-distro")
        # A package of these tests is a tar archive.
        self.stub(
            "top/scripts/toolbox",
            f"""while [ "$1" != -- ] && [ $# -gt 0 ]; do shift; done; [ $# -gt 0 ] || exit 0; shift
            case $1 in
            dpkg-deb) cat "$3" ;;
            bsdtar) cat "${{5#@}}" ;;
            tar) shift; exec tar "$@" ;;
            env) echo "$2" >>{self.dir}/calls; echo "build: on the stand-in for the kernel crate: because" >&2; echo {self.dir}/made.ko ;;
            depmod) ;;
            esac""",
        )
        self.stub("top/scripts/lab", f'echo "$KERNEL $KVER $MODULE" >>{self.dir}/calls; test -f "$KERNEL/boot/vmlinuz-$KVER"')
        given = self.dir / "given"
        given.mkdir()
        for number, content in enumerate(packages):
            with tarfile.open(given / f"p{number}.{'deb' if number % 2 == 0 else 'rpm'}", "w") as archive:
                for name, text in content.items():
                    entry = tarfile.TarInfo(name)
                    entry.size = len(text)
                    archive.addfile(entry, io.BytesIO(text.encode()))
        for name in files:
            (given / name).write_text("no archive")
        return self.run_script("test-distro", str(given))

    HEADERS = {"./usr/src/linux-headers-7.0.0-44-generic/include/config/kernel.release": "7.0.0-44-generic\n"}
    MODULES = {"./lib/modules/7.0.0-44-generic/kernel/fs/fuse.ko": "", "./boot/vmlinuz-7.0.0-44-generic": ""}

    def test_builds_and_drives(self):
        status, said = self.distro(self.HEADERS, self.MODULES)
        self.assertEqual(status, 0, said)
        self.assertIn("given, 7.0.0-44-generic: built on the stand-in for the kernel crate: because; link, lease and 64 MiB each way: passed", said)
        calls = (self.dir / "calls").read_text().splitlines()
        self.assertTrue(calls[0].endswith("/usr/src/linux-headers-7.0.0-44-generic"), calls)
        self.assertTrue(calls[1].endswith(f" 7.0.0-44-generic {self.dir}/made.ko"), calls)
        self.assertEqual([path.name for path in (self.dir / "top/build/distro").iterdir() if "part" in path.name], [])

    def test_headers_alone(self):
        status, said = self.distro(self.HEADERS)
        self.assertEqual(status, 0, said)
        self.assertIn("; not driven: no package has the image of 7.0.0-44-generic", said)

    def test_no_headers(self):
        status, said = self.distro(self.MODULES)
        self.assertEqual(status, 1, said)
        self.assertIn("found no directory of headers", said)

    def test_two_kernels(self):
        other = {name.replace("44", "45"): text.replace("44", "45") for name, text in self.HEADERS.items()}
        status, said = self.distro(self.HEADERS, other)
        self.assertEqual(status, 1, said)
        self.assertIn("found the headers of two kernels", said)

    def test_no_archive(self):
        status, said = self.distro(files=["broken.deb"])
        self.assertEqual(status, 1, said)
        self.assertIn("broken.deb cannot be unpacked", said)

    def test_no_packages(self):
        status, said = self.distro(files=["readme.txt"])
        self.assertEqual(status, 2, said)
        self.assertIn("found no .deb, .rpm or .pkg.tar.*", said)


class Table(Stubs):
    """scripts/test-kernels, with stubs for what it calls."""

    def table(self, *kernels, **environment):
        """Makes the table of these kernels; returns the exit status, the rows below its head, and the lines after it."""
        self.tree("scripts/test-kernels")
        self.stub("top/scripts/kernel", f"echo $1 {self.dir}/kernel")
        self.stub(
            "top/scripts/kdir",
            f"""for kver; do :; done
            echo "kdir $*" >>{self.dir}/calls
            case $kver in 7.2*) echo "kdir: error: it is damaged" >&2; exit 1 ;; 7.1*) echo "kdir: error: it is gone" >&2; exit 3 ;; esac
            echo {self.dir}/kdir""",
        )
        # As the true one: the stand-in where it is asked for, or where the kernel is without Rust.
        self.stub(
            "top/scripts/module",
            f"""for kver; do :; done
            echo "module $*" >>{self.dir}/calls
            echo "module: something about it" >&2
            case $1$kver in --standin* | 6.12*) echo standin_panic ;; esac >{self.dir}/$kver.ko
            echo {self.dir}/$kver.ko""",
        )
        self.stub("top/scripts/layout", "exit 1")
        self.stub("top/scripts/lab", f'echo "lab STANDIN=$STANDIN" >>{self.dir}/calls')
        (self.dir / "kdir").mkdir()
        (self.dir / "kdir/.config").write_text('CONFIG_RUSTC_VERSION_TEXT="rustc 1.85.1 (x)"\n')
        status, said = self.run_script("test-kernels", *(f"{kernel}+deb13-amd64" for kernel in kernels), **environment)
        lines = said.splitlines()
        rows = [number for number, line in enumerate(lines) if line.startswith("| ")]
        return status, [lines[number] for number in rows[1:]], lines[rows[-1] + 1 :]

    def test_one_fails(self):
        status, rows, said = self.table("7.3.4", "7.2.12", "7.1.13", "6.12.107")
        self.assertEqual(status, 1, said)
        self.assertEqual(len(rows), 4, said)
        self.assertTrue(rows[0].startswith("| 7.3.4+deb13-amd64 | 1.85.1 | kernel | passed | **failed** | passed |"), rows)
        self.assertEqual(rows[1:3], ["| 7.2.12+deb13-amd64 | - | **failed**: it is damaged |", "| 7.1.13+deb13-amd64 | - | skipped: it is gone |"])
        self.assertTrue(rows[3].startswith("| 6.12.107+deb13-amd64 | 1.85.1 | stand-in | passed |"), rows)
        self.assertIn(" 7.2.12+deb13-amd64 6.12.107+deb13-amd64:layout", said[-1])

    def test_what_was_skipped(self):
        status, rows, said = self.table("7.1.13")
        self.assertEqual((status, len(rows)), (0, 1), said)
        self.assertEqual(said[:3], ["", "0 kernels tested, 1 skipped", "skipped: 7.1.13+deb13-amd64: it is gone"])

    def test_one_build_in_a_row(self):
        _, rows, _ = self.table("7.3.4", STANDIN="1")
        self.assertTrue(rows[0].startswith("| 7.3.4+deb13-amd64 | 1.85.1 | stand-in | passed |"), rows)
        calls = (self.dir / "calls").read_text().splitlines()
        self.assertEqual(calls, ["kdir --headers 7.3.4+deb13-amd64", "module --standin 7.3.4+deb13-amd64", "lab STANDIN=1", "lab STANDIN=1"])

    def test_what_standin_may_be(self):
        _, rows, _ = self.table("7.3.4", STANDIN="0")
        self.assertTrue(rows[0].startswith("| 7.3.4+deb13-amd64 | 1.85.1 | kernel | passed |"), rows)
        self.assertEqual((self.dir / "calls").read_text().splitlines()[:2], ["kdir 7.3.4+deb13-amd64", "module 7.3.4+deb13-amd64"])
        for script, arguments in (("test-kernels", []), ("lab", ["run"])):
            (self.top / "scripts" / script).write_text((TOP / "scripts" / script).read_text())
            (self.top / "scripts" / script).chmod(0o755)
            status, said = self.run_script(script, *arguments, STANDIN="yes")
            self.assertEqual(status, 2, said)
            self.assertIn(f"{script}: STANDIN is 1, 0 or nothing, not 'yes'", said)


class Module(Stubs):
    """scripts/module, with a make that has built something: what is asked of it."""

    def build(self, *sections, environment=(), says="", **settings):
        """Builds for a kernel of this configuration; the module has these sections, and make says this."""
        self.tree("scripts/module")
        for name in ("Kbuild", "rust/standin/check"):
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).touch()
        self.stub("top/scripts/kdir", f"echo {self.dir}/kdir")
        listed = "".join(f"[ 1] {section} PROGBITS" for section in sections)
        self.stub("top/scripts/toolbox", f"case $* in *readelf*) echo '{listed}' ;; *KCFLAGS*) printf '%s\\n' \"$@\" >{self.dir}/make; echo '{says}' ;; esac")
        (self.dir / "kdir").mkdir()
        (self.dir / "kdir/vmlinux").touch()
        (self.dir / "kdir/.config").write_text("".join(f"CONFIG_{name}=y\n" for name in settings))
        return self.run_script("module", self.KVER, **dict(environment))

    def test_what_the_kernel_has_is_there(self):
        status, said = self.build(".debug_info", ".BTF", DEBUG_INFO="y", DEBUG_INFO_BTF_MODULES="y")
        self.assertEqual((status, said), (0, f"{self.top}/build/{self.KVER}/r8168_rust.ko\n"))

    def test_no_types(self):
        status, said = self.build(".debug_info", ".BTF.base", DEBUG_INFO="y", DEBUG_INFO_BTF_MODULES="y")
        self.assertEqual(status, 1, said)
        self.assertIn("found no section .BTF in the module", said)

    def test_no_debug_information(self):
        status, said = self.build(DEBUG_INFO="y")
        self.assertEqual(status, 1, said)
        self.assertIn("found no section .debug_info in the module", said)

    def test_none_is_wanted(self):
        self.assertEqual(self.build()[0], 0)

    def test_warnings(self):
        for line in (
            "warning: unused variable: `a`",
            "rust/helpers/helpers.c:10:5: warning: unused variable",
            "r8168_rust.o: warning: objtool: init_module(): not an indirect call target",
            "WARNING: modpost: missing MODULE_DESCRIPTION() in r8168_rust.o",
        ):
            with self.subTest(line):
                shutil.rmtree(self.dir / "top", ignore_errors=True)
                shutil.rmtree(self.dir / "kdir", ignore_errors=True)
                status, said = self.build(says=line)
                self.assertEqual(status, 1, said)
                self.assertIn(line, said)
                self.assertIn("there are warnings", said)

    def given(self):
        """Returns what make is given."""
        return dict(line.split("=", 1) for line in (self.dir / "make").read_text().splitlines() if "=" in line)

    def test_no_directory_is_in_it(self):
        """It is built at one place for all checkouts; of two prefixes that fit the last counts."""
        self.build()
        given, kdir, out = self.given(), self.dir / "kdir", f"/r8168_rust/build/{self.KVER}"
        self.assertEqual(given["M"], out)
        for name, option in (("KCFLAGS", "-ffile-prefix-map"), ("KRUSTFLAGS", "--remap-path-prefix")):
            prefixes = (f"{kdir}=.", f"{kdir}/=", "/r8168_rust/=", f"{out}=.", f"{out}/=")
            self.assertEqual(given[name].split(), [f"{option}={prefix}" for prefix in prefixes])
        self.assertNotIn(str(self.top), "".join(given.values()))

    def test_in_the_toolbox_of_another_checkout(self):
        self.build(environment={"R8168_TOOLBOX": "1"})
        self.assertEqual(self.given()["M"], f"{self.top}/build/{self.KVER}")


class BothBuilds(Stubs):
    """scripts/test-standin, with stubs for what it calls: what it says of the series between the oldest and the newest kernel."""

    def setUp(self):
        super().setUp()
        self.tree("scripts/test-standin")
        self.stub("top/scripts/toolbox", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        self.stub("top/scripts/kernel", f"echo $1 {self.dir}/kernel")
        self.stub("top/scripts/kdir", f'case $1 in 6.19*) echo "kdir: error: it is gone" >&2; exit 3 ;; esac; echo {self.dir}/kdir')
        self.stub(
            "top/scripts/module",
            f"""for kver; do :; done
            file={self.dir}/$kver$1.ko
            case $1$kver in --standin* | 7.1*) echo standin_panic ;; esac >$file
            echo $file""",
        )
        # The stand-in has more text, and too much on 7.2; the run on 7.0 fails with it.
        self.stub("bin/size", "printf 'text\n%s\n' $(case $1 in */7.2*--standin*) echo 115 ;; *--standin*) echo 109 ;; *) echo 100 ;; esac)")
        self.stub("top/scripts/lab", 'case $1 in test) echo "test guests::ours_works ... ok" ;; run) case $MODULE in */7.0*--standin*) exit 1 ;; esac ;; esac')

    def rows(self, series):
        """Runs it; returns the exit status and the rows of these series."""
        status, said = self.run_script("test-standin", ROUNDS="0", SERIES=" ".join(f"{kernel}+deb13-amd64" for kernel in series.split()))
        return status, [" ".join(line.split()) for line in said.splitlines() if line.startswith(("text", "run"))]

    def test_passed(self):
        self.assertEqual(
            self.rows("6.18.15"),
            (0, ["text, bytes, 6.18.15 100 109 +9.0 % passed", "run, 6.18.15 passed passed passed", "text, bytes, 7.3.4 100 109 +9.0 % passed"]),
        )

    def test_too_large(self):
        status, rows = self.rows("7.2.12")
        self.assertEqual((status, rows[0]), (1, "text, bytes, 7.2.12 100 115 +15.0 % MISSED: 10 % at most"))

    def test_a_run_fails(self):
        status, rows = self.rows("7.0.13")
        self.assertEqual((status, rows[1]), (1, "run, 7.0.13 passed FAILED FAILED"))

    def test_skipped(self):
        status, rows = self.rows("6.19.11 7.1.13")
        self.assertEqual((status, rows[0]), (0, "text and run, 6.19.11 - - skipped: it is gone"))
        self.assertIn("text and run, 7.1.13 - - skipped: the metadata of 7.1.13+deb13-amd64 does not fit", rows[1])


class BuildDirectory(Stubs):
    """scripts/kdir, where a directory has been made before."""

    def test_one_with_the_metadata_will_do(self):
        self.tree("scripts/kdir")
        cache = self.dir / ".cache/r8168_rust"
        for name in ("-headers", ""):
            made = cache / f"kdir-{self.KVER}-1{name}"
            made.mkdir(parents=True)
            (made / ".complete").touch()
            self.assertEqual(self.run_script("kdir", "--headers", self.KVER), (0, f"{made}\n"))


class Launcher(unittest.TestCase):
    """QEMU's command lines."""

    # It has two cards that are not ours, and runs beside the head node, where the lab is not.
    OTHER = ":!tests/cluster/services/test_second_card.py"

    def test_there_is_one(self):
        command = ["git", "grep", "-l", "qemu-system-", "--", "scripts", "tests", "qemu", ":!*.packages", ":!tests/build", self.OTHER]
        found = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(found, ["tests/lab/src/machine.rs"], "machines are made by tests/lab: `lab node`, `lab disk`")
