# SPDX-License-Identifier: GPL-2.0
"""scripts/make-rpm, with stubs for the module and for rpmbuild."""

import os
import shutil
import subprocess
import tarfile
import unittest

from test_scripts import Stubs

MODULE = 'mkdir -p "${0%/*}/../build/$1"; echo module >"${0%/*}/../build/$1/r8168_rust.ko"; echo "${0%/*}/../build/$1/r8168_rust.ko"'


class Modes(Stubs):
    """The modes of files are not those of a user's mask."""

    def tarball(self, mask):
        """The modes in the source of the package, and of what rpm is given, for a checkout and a making under this mask."""
        before = os.umask(mask)
        try:
            self.tree("scripts/make-rpm", "scripts/prebuilt.sh")
            for name in ("scripts", "rust", "packaging/rpm"):
                (self.top / name).mkdir(parents=True, exist_ok=True)
            for name in ("rust/lib.rs", "Kbuild", "scripts/build", "packaging/rpm/r8168-rust-kmod.spec"):
                (self.top / name).write_text("text\n")
            for path in [path for path in self.top.rglob("*") if path.is_file()]:
                path.chmod(0o666 & ~mask)
            for name in ("make-rpm", "build"):
                (self.top / "scripts" / name).chmod(0o777 & ~mask)
            self.stub("top/scripts/module", MODULE)
            self.stub(
                "top/scripts/toolbox",
                """
case $* in
*modinfo*) echo r8168_rust ;;
*--strip-debug*) cp "$7" "$6" ;;
*rpmbuild*) mkdir -p "$HOME/seen" "$8/SRPMS" "$8/RPMS/x86_64"; cp -a "$8/." "$HOME/seen/"; touch "$8/SRPMS/a.src.rpm" "$8/RPMS/x86_64/a.x86_64.rpm" ;;
esac""",
            )
            for command in ("init --quiet", "add -A", "-c user.name=a -c user.email=a@example.org commit --quiet -m a"):
                subprocess.run(["git", "-C", self.top, *command.split()], check=True)
            status, said = self.run_script("make-rpm", self.KVER)
            self.assertEqual(status, 0, said)
        finally:
            os.umask(before)
        (archive,) = (self.dir / "seen/SOURCES").iterdir()
        given = {path.name: path.stat().st_mode & 0o777 for path in (archive, self.dir / "seen/r8168-rust-kmod.spec")}
        with tarfile.open(archive) as files:
            modes = {entry.name.partition("/")[2]: entry.mode for entry in files}
        shutil.rmtree(self.top)
        shutil.rmtree(self.dir / "seen")
        return given, modes

    def test_any_mask(self):
        given, modes = self.tarball(0o077)
        self.assertEqual(set(given.values()), {0o644})
        self.assertEqual((modes["scripts/build"], modes["rust"], modes["rust/lib.rs"]), (0o755, 0o755, 0o644))
        self.assertEqual(self.tarball(0o002), (given, modes))


if __name__ == "__main__":
    unittest.main()
