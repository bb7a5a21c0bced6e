# SPDX-License-Identifier: GPL-2.0
"""Things that all nodes of a cluster have, if the plan says so: one /home, which the head node serves by NFS; its clock, by NTP; and one user."""

import contextlib
import os
import shutil
import socket
from pathlib import Path

from archive.errors import UserError
from archive.tools import replace

from .keys import key_pair
from .programs import Programs
from .web import mapped

NFS_PORT, NTP_PORT = 2049, 123
# Where Debian has the part of NFS-Ganesha that serves a directory.
GANESHA_PARTS = "/usr/lib/x86_64-linux-gnu/ganesha"
# A head node that begins anew lets clients claim again for so long what they had open; nothing else is opened meanwhile.
GRACE_SECONDS, LEASE_SECONDS = 30, 20
# The first request of an NTP client, version 4: 48 bytes.
QUESTION = bytes([0x23]) + bytes(47)
# How a user of one node comes to another: their keys are made when they are installed.
SSH_CONFIG = "Host compute-*\n\tStrictHostKeyChecking accept-new\n"


def user_key(directory):
    """The files of the key by which the user comes to nodes and from one to another; made once, readable by root only."""
    place = Path(directory) / "user"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return key_pair(place / "id", "the cluster's user")


def make_home(plan, directory):
    """Makes /home, and in there that of the user if it is not there yet: what a user has is never written to again, since links in it are the user's."""
    home = Path(directory) / "home"
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not plan.user or (home / plan.user).exists():
        return home
    if not mapped(plan.uid):
        raise UserError(f"found no user number {plan.uid} in this user namespace, expected it for {plan.user}: only the machine's own root can serve /home")
    part = Path(directory) / f".home.{plan.user}"
    shutil.rmtree(part, ignore_errors=True)
    (part / ".ssh").mkdir(mode=0o700, parents=True)
    private, public = user_key(directory)
    for name, text, mode in (
        ("id_ed25519", private.read_text(), 0o600),
        ("id_ed25519.pub", public.read_text(), 0o644),
        ("authorized_keys", public.read_text(), 0o600),
        ("config", SSH_CONFIG, 0o644),
    ):
        replace(part / ".ssh" / name, text)
        (part / ".ssh" / name).chmod(mode)
    part.chmod(0o700)
    for path in (part, part / ".ssh", *(part / ".ssh").iterdir()):
        os.chown(path, plan.uid, plan.uid)
    part.rename(home / plan.user)
    return home


def ganesha(plan, directory):
    """The configuration of NFS-Ganesha, which is a program like others: no part of the kernel, and no portmapper."""
    home = str(Path(directory) / "home")
    if set(home) & set('"\\\n'):
        raise UserError(f"found a quotation mark, a backslash or an end of line in {home}, which NFS-Ganesha cannot be given; name another directory")
    return f"""\
# Written by r8168_rust's head node; changes are lost.
NFS_CORE_PARAM {{
	Bind_addr = {plan.head};
	NFS_Port = {NFS_PORT};
	Protocols = 4;
	Enable_UDP = false;
	Enable_NLM = false;
	Enable_RQUOTA = false;
	Plugins_Dir = "{GANESHA_PARTS}";
	RPC_Max_Connections = {max(1000, 2 * plan.most)};
	# In a container it may not be set.
	Allow_Set_Io_Flusher_Fail = true;
}}
NFSv4 {{
	# Users are known by their numbers, which are the same everywhere.
	Only_Numeric_Owners = true;
	Grace_Period = {GRACE_SECONDS};
	Lease_Lifetime = {LEASE_SECONDS};
	RecoveryBackend = fs;
	RecoveryRoot = "{directory}/common";
}}
DIRECTORY_SERVICES {{
	DomainName = "{plan.domain}";
	Idmapping_Active = false;
}}
EXPORT {{
	Export_Id = 1;
	Path = "{home}";
	Pseudo = /home;
	FSAL {{ Name = VFS; }}
	# Only the machines on the wire get anything, and a node's root has the rights of nobody.
	Access_Type = None;
	CLIENT {{
		Clients = {plan.network};
		Access_Type = RW;
		Squash = root_squash;
		SecType = sys;
		# Only a node's root can say which user it comes as.
		PrivilegedPort = true;
	}}
}}
LOG {{ Default_Log_Level = WARN; }}
"""


def chrony(plan):
    """The configuration of chronyd: it gives the clock of this machine as it is, and does not set it."""
    return f"""\
# Written by r8168_rust's head node; changes are lost.
bindaddress {plan.head}
port {NTP_PORT}
allow {plan.network}
local stratum 10
ratelimit interval 1 burst 16
cmdport 0
bindcmdaddress /
pidfile /
"""


class Common:
    """The servers of /home and of the clock."""

    def __init__(self, plan, directory):
        self.plan = plan
        self.directory = Path(directory)
        self.programs = Programs(self.directory / "common")
        self.check = self.programs.check
        self.stop = self.programs.stop

    def start(self):
        """Starts those that the plan has."""
        plan, place = self.plan, self.directory / "common"
        if plan.home or plan.clock:
            place.mkdir(exist_ok=True)
        if plan.home:
            make_home(plan, self.directory)
            replace(place / "ganesha.conf", ganesha(plan, self.directory))
            self._check_free(socket.SOCK_STREAM, NFS_PORT, "NFS")
            options = ("-F", "-x", "-f", place / "ganesha.conf", "-p", place / "ganesha.pid", "-L", "STDOUT")
            self.programs.run("ganesha.nfsd", *options, ready=self._nfs_answers)
        if plan.clock:
            replace(place / "chrony.conf", chrony(plan))
            self._check_free(socket.SOCK_DGRAM, NTP_PORT, "NTP")
            user = () if mapped(1) else ("-u", "root")
            self.programs.run("chronyd", "-d", "-x", *user, "-f", place / "chrony.conf", ready=self._ntp_answers)

    def logs(self):
        """The logs, which are to be bounded."""
        return [self.programs.log(name) for name in self.programs.running]

    def _check_free(self, kind, port, what):
        with socket.socket(socket.AF_INET, kind) as probe:
            # Connections that an earlier server has closed do not matter; for NTP this would let two have the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
            try:
                probe.bind((str(self.plan.head), port))
            except OSError as error:
                raise UserError(f"cannot serve {what} at {self.plan.head}: {error.strerror}; does another program there use port {port}?") from None

    def _nfs_answers(self):
        with contextlib.suppress(OSError), socket.create_connection((str(self.plan.head), NFS_PORT), 1):
            return True
        return False

    def _ntp_answers(self):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.5)
            client.connect((str(self.plan.head), NTP_PORT))
            client.send(QUESTION)
            return len(client.recv(100)) >= len(QUESTION)
        return False
