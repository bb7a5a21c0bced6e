# SPDX-License-Identifier: GPL-2.0
# Run in the root directory of a node: /home is that of the head node, mounted when it is first looked into, so that no node waits for it in order to
# boot.
umask 022
[ -e usr/sbin/mount.nfs4 ] || { echo 'found no nfs-common, by which /home is mounted; make the tree with this plan: scripts/installer-tree --plan' >&2 && exit 1; }
echo '@HEAD@:/home /home nfs4 rw,nosuid,nodev,_netdev,nofail,x-systemd.automount,x-systemd.mount-timeout=60 0 0' >>etc/fstab
