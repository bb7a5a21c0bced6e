# SPDX-License-Identifier: GPL-2.0
# Run in the root directory of a node: the user that all nodes have, by the same number.
if ! grep -q '^@USER@:' etc/passwd; then
	echo '@USER@:x:@UID@:@UID@:@USER@:/home/@USER@:/bin/bash' >>etc/passwd
	echo '@USER@:x:@UID@:' >>etc/group
	echo '@USER@:*:1::::::' >>etc/shadow
	[ ! -f etc/gshadow ] || echo '@USER@:*::' >>etc/gshadow
fi
