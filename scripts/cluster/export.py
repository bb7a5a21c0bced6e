# SPDX-License-Identifier: GPL-2.0
"""Writes what a cluster boots, and its nodes, in the form of another system, which takes over from the head node: Warewulf 4, FAI, Cobbler 3.

Each is a tree of files to be laid over `/` of the machine where that system runs.
"""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import sys
from pathlib import Path

from archive import deb822
from archive.ends import ended
from archive.errors import UserError
from archive.tools import replace, run, words_of

from .head import DISKLESS, TEMPLATES, check_mirror, check_root, includes
from .keys import key_of_root
from .plan import HostRegistry, Plan, fill

# By this name the systems have what is written: an image, a distribution, a profile.
NAME = "r8168-rust"
FAI_CLASS = "R8168_NODE"
# Where FAI has a root and a configuration of this name, beside those that are there already.
FAI_ETC, FAI_ROOT, FAI_TFTP, FAI_SPACE = (f"{where}-{NAME}" for where in ("etc/fai", "srv/fai/nfsroot", "srv/tftp/fai", "srv/fai/config"))
# Without a version in it: what is laid over an older one takes its place, and a hook finds one driver.
DRIVER = "r8168-rust-modules.deb"
COBBLER_BOOT = f"srv/{NAME}"
COBBLER_MIRROR = f"cobbler/distro_mirror/{NAME}"


def text_of(value):
    """A string of YAML, in the quotes that let it be anything."""
    return json.dumps(str(value))


class Export:
    """Files in the form of another system, and their sources. `tree` is what scripts/installer-tree has made, `key` lets the head node in as root."""

    def __init__(self, plan, names, tree, key, debian, out, installed=()):
        self.plan = plan
        # They boot from their disks: the other system is not to install them once more.
        self.installed = set(installed)
        self.tree = Path(tree)
        self.key = key
        self.debian = debian
        self.out = Path(out)
        self.kver = (self.tree / "kver").read_text().strip()
        self.nodes = sorted(((name, mac) for mac, name in names.items()), key=lambda node: [int(part) for part in node[0].split("-")[1:]])
        if not self.nodes:
            raise UserError(f"found no node to write: neither [names] of {plan.path} nor a head node's file of names has any; expected one at least")

    def _put(self, name, text, mode=0o644):
        replace(self.out / name, text)
        (self.out / name).chmod(mode)

    def _copy(self, source, name):
        target = self.out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    def _template(self, name, **words):
        return fill((TEMPLATES / "export" / name).read_text(), {"KVER": self.kver, **words})

    def driver(self):
        """The package with the driver for the nodes' kernel."""
        links = sorted((self.tree / "mirror/pool/local").glob(f"r8168-rust-modules-{self.kver}_*_amd64.deb"))
        # Its build may have gone since.
        found = [path for path in links if path.is_file()]
        if len(found) != 1:
            raise UserError(f"found {len(found)} packages with the driver in {self.tree}/mirror/pool/local, expected one; scripts/installer-tree makes it anew")
        return found[0]

    def from_backports(self):
        """Returns whether the nodes' kernel is in the backports of their release alone, as its version says."""
        index = self.tree / f"mirror/dists/{self.plan.installation['suite']}/main/binary-amd64/Packages"
        stanzas = deb822.stanzas(index.read_text()) if index.is_file() else []
        return any(stanza["Package"] == f"linux-image-{self.kver}" and "~bpo" in stanza["Version"] for stanza in stanzas)

    def left_out(self, system):
        """A line for each thing that the plan has and the files of another system have not."""
        plan = self.plan
        found = []
        if plan.kickstart:
            found.append(
                f"kickstart = {plan.kickstart.name}: only the head node's own installer reads that; nodes get the partitions and answers of packaging/cluster"
            )
        if plan.slurm:
            found.append(f"slurm = yes: neither munge's key nor the settings of slurmd are in it; nodes compute when Slurm is set up by {system}")
        for key, value in (("home", plan.home), ("clock", plan.clock), ("user", plan.user)):
            if value:
                found.append(f"{key} = {'yes' if value is True else value}: the nodes are not set up for it; {system} has ways of its own")
        return [f"{plan.path.name}: {line}" for line in found]

    def write(self, system):
        """Writes all of it; a tree that was there before goes when the new one is whole."""
        spared = [name for name, _ in self.nodes if self.plan.mode(name) == "diskless"]
        if spared and system != "warewulf":
            raise UserError(f"the plan has {spared[0]} without a disk, and {system} would erase the disk that it may have: give it the mode install")
        listed = self.plan.installation["packages"].split()
        if system == "cobbler":
            check_mirror(self.plan, self.tree, listed)
        if system == "warewulf":
            check_root(self.plan, self.tree, listed)
        whole = self.out
        self.out = whole.with_name(f".{whole.name}.part")
        try:
            shutil.rmtree(self.out, ignore_errors=True)
            {"warewulf": self.warewulf, "fai": self.fai, "cobbler": self.cobbler}[system]()
            shutil.rmtree(whole, ignore_errors=True)
            self.out.rename(whole)
        finally:
            shutil.rmtree(self.out, ignore_errors=True)
            self.out = whole

    def warewulf(self):
        """Warewulf 4.6: an image, which is a node's initrd as well and has kernel and driver in it, and nodes.conf."""
        image = self.out / f"var/lib/warewulf/chroots/{NAME}/rootfs"
        image.parent.mkdir(parents=True)
        root = self.tree / DISKLESS[1]
        if not root.is_file():
            raise UserError(f"found no {root}, which the image is made of; scripts/diskless-tree makes it")
        run("unsquashfs", "-quiet", "-no-progress", "-dest", image, root)
        driver = image / f"usr/lib/modules/{self.kver}/updates/r8168_rust.ko"
        if not driver.is_file():
            raise UserError(f"{root} has no driver for {self.kver}; scripts/diskless-tree makes it anew")
        # It looks there for the kernel, and takes the image whose kernel it is by that.
        self._copy(self.tree / "boot/linux", image.relative_to(self.out) / f"boot/vmlinuz-{self.kver}")
        self._put("etc/warewulf/nodes.conf", self.nodes_conf())

    def nodes_conf(self):
        """The nodes as Warewulf has them."""
        plan = self.plan
        lines = [
            "nodeprofiles:",
            f"  {NAME}:",
            "    comment: written by r8168_rust's head node",
            f"    cluster name: {text_of(plan.domain)}",
            f"    image name: {NAME}",
            "    ipxe template: default",
            "    runtime overlay: [hosts, ssh.authorized_keys]",
            "    system overlay: [wwinit, wwclient, hosts, fstab, hostname, ssh.host_keys, issue, resolv, systemd.netname, ifupdown]",
            "    kernel:",
            f"      version: {text_of(self.kver)}",
            "      args: [net.ifnames=0, console=tty0, console=ttyS0]",
            "    init: /sbin/init",
            "    root: initramfs",
            "    network devices:",
            "      default:",
            "        type: ethernet",
            "        device: eth0",
            '        onboot: "true"',
            f"        netmask: {text_of(plan.netmask)}",
            f"        gateway: {text_of(plan.head)}",
            "nodes:",
        ]
        for name, mac in self.nodes:
            lines += [
                f"  {name}:",
                f"    profiles: [{NAME}]",
                "    network devices:",
                "      default:",
                f"        hwaddr: {text_of(mac)}",
                f"        ipaddr: {text_of(plan.address(name))}",
            ]
        return "\n".join(lines) + "\n"

    def fai(self):
        """FAI 6: a configuration from which fai-make-nfsroot makes a root and an initrd with the driver, what the nodes get, and which machines PXE serves."""
        plan, suite = self.plan, self.plan.installation["suite"]
        driver = self.driver()
        self._copy(driver, f"{FAI_ETC}/{DRIVER}")
        settings = {
            "FAI_DEBOOTSTRAP": f"{suite} {self.debian}",
            "NFSROOT": f"/{FAI_ROOT}",
            "NFSROOT_SERVER": plan.head,
            "TFTPROOT": f"/{FAI_TFTP}",
            "NFSROOT_HOOKS": f"/{FAI_ETC}/nfsroot-hooks",
            "FAI_CONFIGDIR": f"/{FAI_SPACE}",
            "SSH_IDENTITY": f"/{FAI_SPACE}/files/r8168_rust/authorized_keys",
        }
        lines = "".join(f'{name}="{value}"\n' for name, value in settings.items())
        self._put(f"{FAI_ETC}/nfsroot.conf", f"# Written by r8168_rust's head node.\n{lines}")
        self._put(f"{FAI_ETC}/fai.conf", f"# Written by r8168_rust's head node.\nFAI_CONFIG_SRC=nfs://{plan.head}/{FAI_SPACE}\n")
        # FAI copies the first into its root; the nodes get the second, as it takes files by class.
        for name, text in self.fai_apt().items():
            self._put(f"{FAI_ETC}/apt/{name}", text)
            self._put(f"{FAI_SPACE}/files/etc/apt/{name}/{FAI_CLASS}", text)
        self._put(f"{FAI_ETC}/NFSROOT", self._template("fai-nfsroot.packages"))
        self._put(f"{FAI_ETC}/nfsroot-hooks/r8168_rust", self._template("fai-hook"))
        self._copy(driver, f"{FAI_SPACE}/files/r8168_rust/{DRIVER}")
        self._put(f"{FAI_SPACE}/files/r8168_rust/authorized_keys", self.key)
        self._put(f"{FAI_SPACE}/class/60-r8168_rust", self._template("fai-class"), 0o755)
        self._put(f"{FAI_SPACE}/class/{FAI_CLASS}.var", f"UTC=yes\nTIMEZONE={plan.installation['timezone']}\nKEYMAP={plan.installation['keymap']}\n")
        self._put(f"{FAI_SPACE}/disk_config/{FAI_CLASS}", self._template("fai-disks"))
        listed = " ".join([*words_of(TEMPLATES / "node.packages"), *plan.installation["packages"].split(), f"linux-image-{self.kver}"])
        self._put(f"{FAI_SPACE}/package_config/{FAI_CLASS}", f"PACKAGES install-norec\n{listed}\n")
        self._put(f"{FAI_SPACE}/scripts/{FAI_CLASS}/10-driver", self._template("fai-script"), 0o755)
        self._copy(self.tree / "boot/linux", f"{FAI_TFTP}/vmlinuz-{self.kver}")
        for name, mac in self.nodes:
            self._put(f"{FAI_TFTP}/pxelinux.cfg/01-{mac.replace(':', '-')}", self.fai_boot(name))
        self._put(f"etc/dnsmasq.d/{NAME}.conf", self.fai_hosts())

    def fai_apt(self):
        """Files of apt, for FAI's root and for the nodes, by their names."""
        suite = self.plan.installation["suite"]
        sources = [suite, *([f"{suite}-backports"] if self.from_backports() else [])]
        files = {"sources.list": "".join(f"deb {self.debian} {name} main\n" for name in sources)}
        if self.from_backports():
            # What comes with a kernel of backports is there as well; the rest stays as the release has it.
            files["preferences.d/r8168-rust"] = f"Package: linux-*\nPin: release n={suite}-backports\nPin-Priority: 700\n"
        return files

    def fai_boot(self, name):
        """The configuration of PXE by which a node is installed by FAI."""
        if name in self.installed:
            return f"# {name}\ndefault local\n\nlabel local\nlocalboot 0\n"
        words = [f"initrd=initrd.img-{self.kver}", "ip=dhcp", f"root=nfs:{self.plan.head}:/{FAI_ROOT}", "rd.live.overlay.overlayfs"]
        words += ["FAI_FLAGS=verbose,sshd,reboot", f"FAI_CONFIG_SRC=nfs://{self.plan.head}/{FAI_SPACE}", "FAI_ACTION=install"]
        return f"# {name}\ndefault fai-generated\n\nlabel fai-generated\nlinux vmlinuz-{self.kver}\nappend {' '.join(words)}\n"

    def fai_hosts(self):
        """The names and addresses of the nodes for dnsmasq, which FAI works with."""
        plan = self.plan
        low, high = plan.dynamic_range
        head = f"domain={plan.domain}\ndhcp-range={low},{high},{plan.netmask},1h\nenable-tftp\ntftp-root=/{FAI_TFTP}\ndhcp-boot=pxelinux.0\n"
        return head + "".join(f"dhcp-host={mac},{plan.address(name)},{name}\n" for name, mac in self.nodes)

    def cobbler(self):
        """Cobbler 3.3: a distribution (the installer's kernel and its initrd with the driver), a profile, the mirror, and a system for each node."""
        for source, name in (("boot/linux", "linux"), ("boot/initrd", "initrd.img")):
            self._copy(self.tree / source, f"{COBBLER_BOOT}/{name}")
        # In the mirror are links into the cache.
        try:
            shutil.copytree(self.tree / "mirror", self.out / "var/www" / COBBLER_MIRROR, symlinks=False)
        except shutil.Error as error:
            lost = error.args[0][0]
            raise UserError(f"the mirror cannot be copied: {lost[0]}: {lost[2]}; scripts/installer-tree makes it anew") from None
        self._put(f"var/lib/cobbler/templates/{NAME}.seed", self.seed())
        for kind, items in self.cobbler_items().items():
            for item in items:
                self._put(f"var/lib/cobbler/collections/{kind}/{item['name']}.json", json.dumps(item, indent=1) + "\n")

    def cobbler_items(self):
        """The items that Cobbler has of the cluster, by kind."""
        plan = self.plan
        about = plan.installation
        # Cobbler has no signature of this release of Debian: it is named as none.
        distro = {
            "name": NAME,
            "arch": "x86_64",
            "breed": "debian",
            "os_version": "",
            "kernel": f"/{COBBLER_BOOT}/linux",
            "initrd": f"/{COBBLER_BOOT}/initrd.img",
            "kernel_options": {
                "auto": "true",
                "locale": about["locale"],
                "language": about["language"],
                "country": about["country"],
                "keymap": about["keymap"],
                "ipv6.disable": "1",
                "DEBIAN_FRONTEND": "text",
                "console": ["tty0", "ttyS0"],
            },
        }
        profile = {"name": NAME, "distro": NAME, "autoinstall": f"{NAME}.seed"}
        systems = []
        for name, mac in self.nodes:
            full = f"{name}.{plan.domain}"
            card = {"mac_address": mac, "ip_address": str(plan.address(name)), "netmask": str(plan.netmask), "dns_name": full, "management": True}
            system = {"name": name, "profile": NAME, "hostname": full, "netboot_enabled": name not in self.installed, "interfaces": {"default": card}}
            systems.append({**system, "gateway": str(plan.head)})
        return {"distros": [distro], "profiles": [profile], "systems": systems}

    def seed(self):
        """The answers for the installer, as a template of Cobbler's, in which words begin with a dollar."""
        words = {
            **self.plan.template_variables(),
            "PACKAGES": self.plan.installation["packages"],
            "INCLUDES": " ".join(includes(self.kver)),
            "KVER": self.kver,
            "NODE": "",
            "HEAD": "@HEAD@",
            "COMPUTE": "",
        }
        key = f"echo '{self.key.strip()}' >.ssh/authorized_keys"
        done = "wget -q -O /dev/null http://$http_server/cblr/svc/op/nopxe/system/$system_name"
        ours = {
            "d-i mirror/http/directory ": f"string /{COBBLER_MIRROR}",
            "d-i preseed/late_command ": f"string cd /target/root && mkdir -m 700 -p .ssh && {key} && {done}",
        }
        lines = []
        for line in fill((TEMPLATES / "preseed.cfg").read_text(), words).splitlines():
            if not line or line.startswith("#"):
                continue
            changed = next((question + value for question, value in ours.items() if line.startswith(question)), None)
            # What Cobbler's templates would read as theirs.
            escaped = line.replace("\\", "\\\\").replace("$", "\\$").replace("#", "\\#")
            lines.append(changed or escaped.replace("@HEAD@", "$http_server"))
        return "\n".join(lines) + "\n"


AFTER = {
    "warewulf": f"wwctl image build {NAME} && wwctl configure --all && wwctl overlay build",
    "fai": f"fai-make-nfsroot -v -C /{FAI_ETC}, which makes the initrd with the driver; then restart dnsmasq",
    "cobbler": "restart cobblerd; cobbler sync",
}


@contextlib.contextmanager
def only_export(directory):
    """Has no other export write into a directory meanwhile."""
    holder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"found another export that writes into {directory}; run this again when that has ended") from None
    finally:
        os.close(holder)


def write_export(options):
    """Does what the options say."""
    # What is written is read by servers that run as other users.
    os.umask(0o022)
    directory = Path(options.directory).resolve()
    out = directory / f"export-{options.system}"
    if options.system == "warewulf" and os.geteuid():
        raise UserError("must be root: the files of the image have other owners")
    plan = Plan(options.plan)
    with only_export(directory):
        key = key_of_root(directory)
        installed = [path.name for path in (directory / "installed").glob("compute-*")]
        export = Export(plan, HostRegistry(plan, directory / "names").names, options.tree, key, options.debian, out, installed)
        export.write(options.system)
    for line in export.left_out(options.system):
        print(f"export-nodes: NOT WRITTEN: {line}", file=sys.stderr)
    # Owner and mode of the directories that are there stay as they are.
    owner = "" if options.system == "warewulf" else " --owner=root --group=root"
    unpack = f"tar -C {out.name}{owner} -c . | sudo tar -C / -xp --no-overwrite-dir --keep-directory-symlink"
    # Where the terminal's language cannot show a name, question marks do.
    shown = os.fsencode(out).decode(errors="replace")
    print(f"export-nodes: {len(export.nodes)} nodes in {shown}; on the machine where {options.system} runs: {unpack}")
    print(f"export-nodes: then: {AFTER[options.system]}")


def main(arguments=None):
    """The program of scripts/export-nodes."""
    parser = argparse.ArgumentParser(prog="export-nodes", allow_abbrev=False)
    add = parser.add_argument
    add("--tree", required=True)
    add("--plan", required=True)
    add("--debian", required=True)
    add("system", choices=tuple(AFTER))
    add("directory")
    options = parser.parse_args(arguments)
    return ended("head-node", lambda: write_export(options))
