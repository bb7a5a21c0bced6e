#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Usage: xdp_jumbo.sh, with the environment of drivers/net/README.rst
#
# Those cases of the kernel's xdp.py that want an MTU of 9000, which the chip does not have, with the largest that the driver runs
# programs at. So the ends of frames are moved, and large frames come and go. Of the sizes and distances the least and the largest
# are tried: each takes seconds in an emulated machine.
CDPATH='' cd "$(dirname "$0")/../drivers/net" || exit 1
sed -e 's/\b9000\b/3498/g' -e 's/\b8000\b/3400/g' \
	-e '/^ *test_xdp_native_\(.*_sb\|qstats\),$/d' \
	-e 's/\(pkt_sz\|offset\)_lst = \[\([^,]*\),.*, \([^,]*\)\]/\1_lst = [\2, \3]/' xdp.py >xdp_jumbo.py || exit 1
chmod +x xdp_jumbo.py
exec ./xdp_jumbo.py
