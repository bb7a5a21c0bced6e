# SPDX-License-Identifier: GPL-2.0
"""scripts/make-release with stubs for what takes minutes; scripts/sbom, its list of what all is made of; scripts/check-sbom, which checks that."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from test_scripts import Stubs

TOP = Path(__file__).resolve().parents[2]
VERSION = "0.1.0"
KVER, OWN = "7.3.4+deb13-amd64", "6.12.117+deb13-amd64"
DKMS = f"r8168-rust-dkms_{VERSION}_all.deb"
STATUS = "\n\n".join(f"Package: {name}\nStatus: install ok installed\nVersion: 1-{name}" for name in ("bindgen", "gcc-14", "rust-src", "rustc"))
# dpkg's list in the installer's initrd.
INITRD = "Package: busybox-udeb\nVersion: 1:1.37.0-6+b9\n\nPackage: anna\nVersion: 1.99\n\nPackage: debian-installer\nVersion: netboot-1\n"

# A stub writes a file whose content is its name.
MAKERS = {
    "make-deb": f"""
case $3 in
inject-initrd) set -- "$2" inject-initrd_{VERSION}_all.deb ;;
*) set -- "$2" {DKMS} "r8168-rust-modules-$3_{VERSION}_amd64.deb" "r8168-rust-modules-$3-di_{VERSION}_amd64.udeb" ;;
esac
mkdir -p "$1"; cd "$1"; shift; for file; do echo "$file" >"$file"; done""",
    "make-rpm": f'mkdir -p "$2"; echo rpm >"$2/r8168-rust-kmod-{VERSION}-1.src.rpm"; echo kmod >"$2/kmod.x86_64.rpm"',
    "make-driver-disk": 'mkdir -p "${0%/*}/../build/driver-disk/$1"; echo "$*" >"${0%/*}/../build/driver-disk/$1/oemdrv.img"',
    "make-offline": 'out=$2; shift 2; echo "$*" >"$out"',
    "usb-stick": 'echo image >"$2"',
    "module": 'mkdir -p "${0%/*}/../build/$1"; echo module >"${0%/*}/../build/$1/r8168_rust.ko"; echo "${0%/*}/../build/$1/r8168_rust.ko"',
    "package": 'echo "$2 /nowhere"',
    "check-sbom": "",
    "installer-images": f"echo {OWN} /nowhere",
    # Beside scripts/sbom, strip --strip-debug -o FILE MODULE and what lists the initrd are the only commands.
    "toolbox": """
case $1:$2 in
path:*) echo "$HOME/root" ;;
run:--share) shift 4; exec "$@" ;;
run:*) cp "$7" "$6" ;;
--list:installer) [ "$3" = create ] || cat "$HOME/initrd" ;;
esac""",
}
# The key "ended" is there, but signs nothing.
GPG = """
case $* in
*--list-secret-keys*) [ "$4" = mine ] || [ "$4" = ended ] ;;
*--detach-sign*) echo "signed $*" >>"$HOME/signed"; [ ! -e "$HOME/locked" ] && [ "$4" = mine ] && echo "signed by $4" >"$8" ;;
*--verify*) grep -q "signed by mine" "$4" ;;
esac"""


def git(directory, *arguments):
    """Runs git there."""
    subprocess.run(["git", "-C", directory, "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments], check=True, capture_output=True)


class Release(Stubs):
    """The directory that is made."""

    def setUp(self):
        super().setUp()
        self.tree("scripts/make-release", "scripts/sbom", "scripts/prebuilt.sh")
        shutil.copytree(TOP / "packaging/release", self.top / "packaging/release")
        (self.top / "docs").mkdir()
        shutil.copy(TOP / "docs/files.md", self.top / "docs")
        (self.top / ".gitignore").write_text("/build/\n__pycache__/\n")
        for name, text in MAKERS.items():
            self.stub(f"top/scripts/{name}", text)
        self.stub("bin/gpg", GPG)
        (self.dir / "root/var/lib/dpkg").mkdir(parents=True)
        (self.dir / "root/var/lib/dpkg/status").write_text(STATUS)
        (self.dir / "initrd").write_text(INITRD)
        git(self.top, "init", "--quiet")
        self.commit()
        self.out = self.top / "build/release"

    def commit(self):
        """Commits the tree as it is."""
        git(self.top, "add", "-A")
        git(self.top, "commit", "--quiet", "--allow-empty", "-m", "a")

    def head(self):
        """The commit that is checked out."""
        return subprocess.run(["git", "-C", self.top, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()

    def maker(self, name, text):
        """Changes a stub."""
        self.stub(f"top/scripts/{name}", text)
        self.commit()

    def release(self, *arguments, status=0, left=()):
        """Runs it for two kernels; returns what it says. It leaves nothing beside what it makes, but files of these names."""
        before = self.everything()
        found, said = self.run_script("make-release", "--kernels", KVER, OWN, *arguments)
        self.assertEqual(found, status, said)
        more = {path for path in self.everything() - before if "/build/release/" not in path and path != f"{self.top}/build/release"}
        self.assertEqual({path for path in more if not any(re.search(name, path) for name in left)}, {f"{self.top}/build"} & more, said)
        self.assertEqual(before - self.everything() - {path for path in before if "/build/release/" in path}, set())
        return said

    def everything(self):
        """All files of the machine but git's and those that the stubs write outside of the checkout."""
        return {str(path) for path in self.dir.rglob("*") if ".git" not in path.parts and path != self.dir / "signed"}

    def refused(self, *arguments, status=1, says=""):
        """Runs it; it must end in one line of error that says this, and leave what was there."""
        before = self.contents()
        errors = [line for line in self.release(*arguments, status=status).splitlines() if ": making" not in line]
        self.assertEqual(len(errors), 1, errors)
        self.assertIn(says, errors[0])
        self.assertEqual(self.contents(), before)

    def contents(self, directory=None):
        """The content of each file of a release."""
        directory = directory or self.out
        return {path.name: path.is_file() and path.read_bytes() for path in directory.iterdir()} if directory.exists() else {}

    def names(self):
        """The names of the files."""
        return sorted(self.contents())

    def test_all_that_is_listed_is_made_and_twice_the_same(self):
        listed = [line.split()[0] for line in self.release("--dry-run").splitlines() if "would make" not in line]
        self.assertEqual(self.names(), [])
        said = self.release("--twice", "--key", "mine")
        self.assertIn("both times the same bytes", said)
        self.assertEqual(self.names(), sorted([*listed, "SHA256SUMS.asc"]))
        self.assertEqual(len(listed), 17)
        sums = dict(line.split("  ")[::-1] for line in (self.out / "SHA256SUMS").read_text().splitlines())
        self.assertEqual(sums.keys(), set(listed) - {"SHA256SUMS"})
        for name, value in sums.items():
            self.assertEqual(value, hashlib.sha256((self.out / name).read_bytes()).hexdigest())
        self.assertEqual((self.out / f"r8168_rust-{VERSION}-offline.run").read_text(), f"{KVER} {OWN}\n")
        with tarfile.open(self.out / f"r8168_rust-{VERSION}.tar.gz") as archive:
            self.assertIn(f"r8168_rust-{VERSION}/scripts/make-release", archive.getnames())
        self.assertNotRegex("".join(self.names()), "rtl8111b", "what is linked of two licences is not handed out")

    def test_the_page(self):
        """It has a row for each file, says nothing of how a release is made, and has no link."""
        listed = {line.split()[0] for line in self.release("--dry-run").splitlines() if "would make" not in line}
        self.release("--only", "source")
        page = (self.out / "WHICH-FILE.md").read_text()
        self.assertNotIn("](", page)
        for word in ("published", "make release", "TWICE"):
            self.assertNotIn(word, page)
        named = {one.replace("KVER", kver) for one in re.findall(rf"`([^` ]*{re.escape(VERSION)}[^` ]*)`", page) for kver in (KVER, OWN)}
        self.assertEqual(named - listed, set())
        self.assertEqual({name for name in listed if VERSION in name} - named, set())

    def test_where_the_source_is(self):
        self.release("--only", "stick")
        text = (self.out / "SOURCES.txt").read_text()
        self.assertIn(self.head(), text)
        self.assertNotIn("@", text)
        for line in ("    anna=1.99", "    busybox-udeb=1:1.37.0-6"):
            self.assertIn(line, text.splitlines())
        self.assertIn("\n    shim-signed=", text)
        self.assertNotIn("netboot-1", text)
        packages = {one["name"]: one["versionInfo"] for one in json.loads((self.out / f"r8168_rust-{VERSION}.spdx.json").read_text())["packages"]}
        self.assertEqual(packages["busybox-udeb"], "1:1.37.0-6+b9")
        self.release("--only", "inject")
        self.assertNotIn("apt source --download-only", (self.out / "SOURCES.txt").read_text())

    def test_an_initrd_without_a_list(self):
        (self.dir / "initrd").write_text("")
        self.refused("--only", "stick", says="found no busybox-udeb in the initrd's list")

    def test_parts_replace_what_was_there(self):
        self.release()
        self.release("--only", "inject", "rpm")
        self.assertEqual(len(self.names()), 6)

    def test_any_mask(self):
        self.release("--only", "source")
        wanted = {path.name: path.stat().st_mode for path in self.out.iterdir()} | {"": self.out.stat().st_mode}
        before = os.umask(0o077)
        try:
            self.release("--only", "source")
        finally:
            os.umask(before)
        self.assertEqual({path.name: path.stat().st_mode for path in self.out.iterdir()} | {"": self.out.stat().st_mode}, wanted)

    def test_two_makings_that_differ(self):
        self.maker("make-rpm", f'mkdir -p "$2"; echo "$2" >"$2/r8168-rust-kmod-{VERSION}-1.src.rpm"')
        said = self.release("--twice", "--only", "rpm", "source", status=1, left=(r"/build/release\.\w{8}(/|$)",))
        self.assertRegex(said, rf"error: two makings differ in r8168-rust-kmod-{VERSION}-1\.src\.rpm r8168_rust-{VERSION}\.spdx\.json;")
        self.assertEqual(self.names(), [])
        (work,) = self.top.glob("build/release.*")
        for name in ("first", "again"):
            self.assertTrue((work / f"release-{name}/SHA256SUMS").exists())

    def test_a_part_that_cannot_be_made(self):
        self.release("--only", "source")
        self.maker("make-offline", "exit 3")
        self.refused("--only", "offline", status=3, says="offline could not be made")

    def test_a_kernel_that_the_archive_has_dropped(self):
        self.maker("make-deb", MAKERS["make-deb"].replace("modules-$3", "modules-6.12.118"))
        self.refused("--only", "packages", says="missing: r8168-rust-modules-6.12.117+deb13-amd64-di")

    def test_an_empty_file(self):
        self.maker("usb-stick", ': >"$2"')
        self.refused("--only", "stick", says=f"missing: r8168_rust-{VERSION}-debian-13-stick.iso")

    def test_another_package_than_the_list_names(self):
        self.maker("package", 'case $1 in shim-signed) echo "1.99 /nowhere" ;; *) echo "$2 /nowhere" ;; esac')
        self.refused("--only", "stick", says="the archive has shim-signed 1.99")

    def test_a_package_for_all_kernels_that_differs(self):
        self.maker("make-deb", MAKERS["make-deb"] + f'\necho "$PPID" >{DKMS}; date +%N >>{DKMS}')
        self.refused("--only", "packages", says=f"{DKMS}, which is for all kernels, differs")

    def test_a_list_that_is_not_valid(self):
        self.maker("check-sbom", '[ $# = 0 ] || { echo "check-sbom: error: no" >&2; exit 1; }')
        self.refused("--only", "source", says="check-sbom: error: no")

    def test_what_checks_the_list_cannot_be_fetched(self):
        self.maker("check-sbom", '[ $# != 0 ] || { echo "check-sbom: error: none" >&2; exit 3; }')
        self.assertNotIn("making", self.release("--only", "source", status=3))

    def test_changes_that_are_not_committed(self):
        (self.top / "docs/files.md").write_text("other\n")
        self.refused(says="files have been changed since the last commit (docs/files.md)")

    def test_a_commit_that_is_made_meanwhile(self):
        """Both makings make what was checked out at the start."""
        self.maker(
            "make-rpm",
            f"""{MAKERS["make-rpm"]}
cd {self.top}; echo made meanwhile >>docs/files.md
git -c user.name=a -c user.email=a@example.org commit --quiet --amend --all --reset-author -m "$(date +%N)" """,
        )
        commit = self.head()
        self.release("--twice", "--only", "rpm", "source")
        self.assertNotEqual(self.head(), commit)
        self.assertIn(commit, (self.out / "SOURCES.txt").read_text())
        self.assertIn(f"git commit {commit}", (self.out / f"r8168_rust-{VERSION}.spdx.json").read_text())
        with tarfile.open(self.out / f"r8168_rust-{VERSION}.tar.gz") as archive:
            self.assertNotIn(b"made meanwhile", archive.extractfile(f"r8168_rust-{VERSION}/docs/files.md").read())

    def test_no_commit(self):
        shutil.rmtree(self.top / ".git")
        self.refused(says="git finds no commit in")

    def test_a_key_that_cannot_sign_is_seen_before_all_is_made(self):
        self.refused("--key", "ended", says="gpg cannot sign with the key 'ended'")
        self.assertEqual(len((self.dir / "signed").read_text().splitlines()), 1)

    def test_a_key_that_is_locked_meanwhile(self):
        """The results of an hour are not lost."""
        self.release("--only", "inject")
        before = self.contents()
        self.maker("make-deb", f'touch "$HOME/locked"\n{MAKERS["make-deb"]}')
        said = self.release("--only", "inject", "--key", "mine", status=1, left=(r"/locked$", r"/build/\.release\.\w{8}(/|$)"))
        self.assertEqual(self.contents(), before)
        kept = re.search(r"gpg could not sign with the key 'mine', see above; what was made is in (\S+)\n", said)[1]
        self.assertIn("SHA256SUMS", self.contents(Path(kept)))

    def test_wrong_arguments(self):
        for says, *arguments in (
            ("the parts are", "--only", "model"),
            ("--only wants", "--only"),
            ("--key wants", "--key"),
            ("no release of a Debian amd64 kernel", "--kernels", "5"),
            ("unknown option", "--all"),
            ("unknown argument", "--twice", "again"),
            ("gpg has no secret key 'other'", "--key", "other"),
        ):
            with self.subTest(says):
                self.refused(*arguments, status=2, says=says)

    def test_what_is_no_release_is_left(self):
        """Anything that was there and is not, file for file, what a release has."""
        mine = self.top / "build/mine"
        mine.mkdir(parents=True)
        (mine / "letter").write_text("dear")
        (self.top / "build/empty").mkdir()
        # As Debian has them beside its images.
        other = self.top / "build/other"
        other.mkdir()
        (other / "debian.iso").write_text("image")
        (other / "SHA256SUMS").write_text(f"{hashlib.sha256(b'image').hexdigest()}  debian.iso\n")
        (self.top / "build/link").symlink_to("mine")
        (self.top / "build/file").write_text("file")
        for beside in ("release.old", "release.part", "release.new", "release-work", "release-again", "release-first"):
            (self.top / "build" / beside).mkdir()
            (self.top / "build" / beside / "letter").write_text("dear")
        for place in ("/", ".", "..", "build/mine", "build/mine/", "build/mine/../mine/.", "build/empty", "build/other", "build/link", "build/file", "docs"):
            with self.subTest(place):
                done = subprocess.run(
                    [self.top / "scripts/make-release", "--kernels", OWN, "--only", "source", "-o", place],
                    cwd=self.top,
                    capture_output=True,
                    text=True,
                    check=False,
                    env={"PATH": f"{self.dir}/bin:/usr/bin", "HOME": str(self.dir)},
                )
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertIn("which is there and no release", done.stderr)
        self.refused("-o", str(self.top / "build/file/release"), status=2, says="cannot write in")
        self.release("--only", "source")
        self.release("--only", "source")
        self.assertEqual((mine / "letter").read_text(), "dear")

    def test_a_release_with_more_in_it_is_left(self):
        self.release("--only", "source")
        for name in ("notes", ".hidden", "a file", "SHA256SUMS.old"):
            (self.out / name).write_text("mine")
            self.refused("--only", "source", status=2, says=f"a release with more in it ({name})")
            (self.out / name).unlink()
        (self.out / "more").mkdir()
        self.refused("--only", "source", status=2, says="a release with more in it (more)")
        (self.out / "more").rmdir()
        page = (self.out / "WHICH-FILE.md").read_text()
        (self.out / "WHICH-FILE.md").write_text("mine")
        self.refused("--only", "source", status=2, says="in which something was changed since")
        (self.out / "WHICH-FILE.md").write_text(page)
        self.release("--only", "source")

    def test_what_comes_to_be_there_meanwhile_is_left(self):
        self.maker("make-deb", f"mkdir -p {self.out}; echo dear >{self.out}/letter\n{MAKERS['make-deb']}")
        said = self.release("--only", "inject", status=1, left=(r"/build/\.release\.\w{8}(/|$)",))
        self.assertIn("which is there and no release; what was made is in", said)
        self.assertEqual(self.contents(), {"letter": b"dear\n"})

    def test_a_link_to_a_release(self):
        """The file that it names is replaced, and the link stays, also where the checkout itself is reached by one."""
        (self.top / "build").mkdir()
        (self.top / "build/release").symlink_to("elsewhere")
        for _ in range(2):
            status, said = self.run_script("make-release", "--kernels", OWN, "--only", "inject")
            self.assertEqual((status, said.splitlines()[-1]), (0, "make-release: 5 files, 0 MiB"), said)
            self.assertEqual(said.splitlines()[0], f"{self.top}/build/elsewhere")
        self.assertTrue((self.top / "build/release").is_symlink())
        self.assertIn(f"inject-initrd_{VERSION}_all.deb", self.names())
        self.assertEqual(sorted(path.name for path in (self.top / "build").iterdir()), ["elsewhere", "release"])

    def test_it_is_ended_by_a_signal(self):
        self.release("--only", "inject")
        before = self.contents()
        self.maker("make-deb", 'read -r _ _ _ parent _ <"/proc/$PPID/stat"; kill -TERM "$parent"; exec sleep 1')
        self.release("--only", "inject", status=143)
        self.assertEqual(self.contents(), before)


class Target(Stubs):
    """make release: what is given comes as it was given."""

    def test_arguments(self):
        self.tree()
        shutil.copy(TOP / "Makefile", self.top)
        self.stub("top/scripts/make-release", 'for one; do echo "$one"; done')
        key = "A \"B\" 'C' `touch one`; touch two <a@b.example>"

        def made(*variables):
            done = subprocess.run(["make", "-s", "-C", self.top, "release", *variables], capture_output=True, text=True, check=True)
            return done.stdout.splitlines()

        self.assertEqual(made(), [])
        self.assertEqual(
            made("PARTS=inject rpm", f"KVER={KVER} {OWN}", "OUT=a  b", f"GPG_KEY={key}", "TWICE=1", "DRY_RUN=1"),
            ["--only", "inject", "rpm", "--kernels", KVER, OWN, "-o", "a  b", "--key", key, "--twice", "--dry-run"],
        )
        self.assertEqual(made("PARTS=inject; touch three"), ["--only", "inject;", "touch", "three"])
        self.assertEqual(sorted(path.name for path in self.top.iterdir()), ["Makefile", "scripts", "versions.conf"])


class Check(Stubs):
    """scripts/check-sbom, with stubs for pip and for the program: what it leaves."""

    def setUp(self):
        super().setUp()
        self.tree("scripts/check-sbom", "scripts/check-sbom.requirements")
        self.stub(
            "top/scripts/toolbox",
            """
case $* in
*pip*)
	while [ "$1" != --target ]; do shift; done
	echo program >"$2/program"
	[ ! -e "$HOME/offline" ] || { echo "ERROR: no network"; exit 1; }
	echo warning ;;
*) while [ "$1" != --infile ]; do shift; done; grep -q valid "$2" || { echo "no valid list"; exit 1; } ;;
esac""",
        )
        (self.dir / "list").write_text("valid")

    def left(self):
        """The files in the cache and in the build folder."""
        self.assertEqual(list((self.top / "build").glob("*")), [])
        return sorted(re.sub(r"-[0-9a-f]{12}$", "-KEY", path.name) for path in (self.dir / ".cache/r8168_rust").iterdir())

    def test_it_is_fetched_once(self):
        for arguments in ((self.dir / "list",), (), (self.dir / "list",)):
            self.assertEqual(self.run_script("check-sbom", *arguments), (0, ""))
            self.assertEqual(self.left(), ["spdx-tools-KEY", "spdx-tools.lock"])
        (self.dir / "list").write_text("other")
        self.assertEqual(self.run_script("check-sbom", self.dir / "list"), (1, f"check-sbom: error: {self.dir}/list is no valid SPDX: no valid list\n"))
        self.assertEqual(self.left(), ["spdx-tools-KEY", "spdx-tools.lock"])

    def test_without_a_network(self):
        (self.dir / "offline").touch()
        status, said = self.run_script("check-sbom")
        self.assertEqual((status, len(said.splitlines())), (3, 1), said)
        self.assertIn("could not fetch spdx-tools: no network", said)
        self.assertEqual(self.left(), ["spdx-tools.lock"])

    def test_wrong_arguments(self):
        for arguments in (("nowhere",), (self.dir,), (self.dir / "list", self.dir / "list")):
            status, said = self.run_script("check-sbom", *arguments)
            self.assertEqual((status, len(said.splitlines())), (2, 1), said)


class Sbom(unittest.TestCase):
    """scripts/sbom: what it says of a directory."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name) / "files"
        self.dir.mkdir()
        self.status = Path(directory.name) / "status"
        self.status.write_text(STATUS)

        self.image = Path(directory.name) / "image"
        self.image.write_text("shim-signed 1.51\nanna 1.99\n")

    def run_sbom(self, *arguments):
        """Runs it, where no repository is."""
        return subprocess.run(
            ["python3", "-B", TOP / "scripts/sbom", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "GIT_DIR": "/nowhere"},
        )

    def options(self, **others):
        """The options, some otherwise."""
        given = {"commit": "0123", "time": "1700000000", "status": self.status, "image": self.image} | others
        return [one for name, value in given.items() if value is not None for one in (f"--{name}", str(value))]

    def made(self):
        """The list, and how its parts are related."""
        done = self.run_sbom(*self.options(), self.dir)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = json.loads(done.stdout)
        names = {one["SPDXID"]: one.get("name") or one["fileName"] for one in found["packages"] + found["files"]}
        names["SPDXRef-DOCUMENT"] = ""
        self.assertEqual(len(names), 1 + len(found["packages"]) + len(found["files"]))
        return found, {(names[one["spdxElementId"]], one["relationshipType"], names[one["relatedSpdxElement"]]) for one in found["relationships"]}

    def test_the_files_and_what_they_are_made_of(self):
        module = f"r8168_rust-{VERSION}-{KVER}.ko"
        for name in ("stick.iso", module, DKMS):
            (self.dir / name).write_text(f"content of {name}")
        found, related = self.made()
        self.assertEqual(self.made()[0], found)
        self.assertEqual(found["creationInfo"]["created"], "2023-11-14T22:13:20Z")
        self.assertEqual([one["fileName"] for one in found["files"]], [f"./{name}" for name in (DKMS, module, "stick.iso")])
        for one in found["files"]:
            sums = {each["algorithm"]: each["checksumValue"] for each in one["checksums"]}
            self.assertEqual(sums["SHA256"], hashlib.sha256((self.dir / one["fileName"]).read_bytes()).hexdigest())
            self.assertIn(("", "DESCRIBES", one["fileName"]), related)
        self.assertEqual({(one, other) for one, kind, other in related if kind == "CONTAINS"}, {("./stick.iso", "shim-signed"), ("./stick.iso", "anna")})
        self.assertEqual({one for _, kind, one in related if kind == "BUILD_TOOL_OF"}, {"./stick.iso", f"./{module}"})
        self.assertEqual({(one, other) for one, kind, other in related if kind == "STATIC_LINK"}, {("./stick.iso", "core"), (f"./{module}", "core")})
        where = [one["externalRefs"][0]["referenceLocator"] for one in found["packages"] if "externalRefs" in one]
        self.assertIn("pkg:deb/debian/anna@1.99", where)
        self.assertIn("pkg:deb/debian/rustc@1-rustc", where)
        self.assertEqual([one["sourceInfo"] for one in found["packages"] if one["name"] == "r8168_rust"], ["git commit 0123"])
        (self.dir / "stick.iso").write_text("other content")
        self.assertNotEqual(self.made()[0]["documentNamespace"], found["documentNamespace"])

    def test_refusals(self):
        for arguments in (
            (),
            (self.dir,),
            self.options(),
            (*self.options(), self.dir / "nowhere"),
            (*self.options(status=self.dir / "nowhere"), self.dir),
            (*self.options(image=self.dir), self.dir),
            (*self.options(time="now"), self.dir),
            (*self.options(commit=None), self.dir),
        ):
            done = self.run_sbom(*arguments)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)
        (self.dir / "stick.iso").write_text("image")
        image = self.image.read_text()
        self.image.write_text("shim-signed\n")
        for _ in range(2):
            done = self.run_sbom(*self.options(), self.dir)
            self.assertEqual((done.returncode, len(done.stderr.splitlines()), done.stdout), (1, 1, ""), done.stderr)
            self.image.write_text(image)
            self.status.write_text("Package: other\nVersion: 1\n")


if __name__ == "__main__":
    unittest.main()
