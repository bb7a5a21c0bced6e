#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Run in the initramfs of @NODE@ when its root is there. There is no secret in it: it comes beside the initrd, with the certificate by which the node
# knows the head node, and what the root has to be. What only this node may have is fetched by that.
set -e
umask 077
root=/run/live/medium/live/root.squashfs
sum=$(b2sum <"$root")
[ "${sum%% *}" = @ROOTSUM@ ] || { echo "$root is not the root of the head node's (BLAKE2: $sum)" >&2 && exit 1; }
cat >/head.pem <<'END'
@CERTIFICATE@
END
wget-tls --quiet --ca-certificate=/head.pem --retry-connrefused --tries=10 --timeout=20 -O /own https://@HEAD@/node/@NODE@ || {
	echo "https://@HEAD@/node/@NODE@ cannot be fetched ($?): the head node does not answer, or another machine does" >&2
	exit 1
}
sh -e /own
rm /own
