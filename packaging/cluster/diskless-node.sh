#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Run in the initramfs of @NODE@ when its root is there: what only this node has, or this cluster.
set -e
umask 022
cd "${rootmnt:?}"
echo @MACHINE@ >etc/machine-id
echo 'deb http://@HEAD@/mirror @SUITE@ main' >etc/apt/sources.list
echo @MIRRORKEY@ | base64 -d >etc/apt/trusted.gpg.d/cluster-mirror.gpg
umask 077
mkdir -p root/.ssh
echo '@KEY@' >root/.ssh/authorized_keys
cat >etc/ssh/ssh_host_ed25519_key <<'END'
@HOSTKEY@
END
