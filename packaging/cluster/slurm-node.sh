# SPDX-License-Identifier: GPL-2.0
# Run in the root directory of a node, by the shell of its installer or initramfs: what has it compute with the others.
umask 077
mkdir -p etc/munge
printf %s '@MUNGEKEY@' >etc/munge/munge.key
chmod 400 etc/munge/munge.key
# By number: the users are those of the node.
owner=$(sed -n 's/^munge:[^:]*:\([0-9]*\):\([0-9]*\):.*/\1:\2/p' etc/passwd)
chown "${owner:?}" etc/munge etc/munge/munge.key
umask 022
# The node says itself what it has (-Z), and asks the head node for the configuration.
echo "SLURMD_OPTIONS='-Z --conf-server @HEAD@'" >etc/default/slurmd
# A node that was there before the head node asks again, as long as it takes.
mkdir -p etc/systemd/system/slurmd.service.d
cat >etc/systemd/system/slurmd.service.d/again.conf <<'END'
[Unit]
StartLimitIntervalSec=0
[Service]
Restart=on-failure
RestartSec=5
TimeoutStartSec=300
END
