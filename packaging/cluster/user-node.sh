# SPDX-License-Identifier: GPL-2.0
# Run in the root directory of a node: the user that all nodes have, by the same number.
# One that a package has made is another user.
if taken=$(grep '^@USER@:' etc/passwd) && ! echo "$taken" | grep -q '^@USER@:[^:]*:@UID@:'; then
	echo "found $taken in etc/passwd, expected the number @UID@; give the plan's user another name" >&2
	exit 1
fi
if ! grep -q '^@USER@:' etc/passwd; then
	echo '@USER@:x:@UID@:@UID@:@USER@:/home/@USER@:/bin/bash' >>etc/passwd
	echo '@USER@:x:@UID@:' >>etc/group
	echo '@USER@:*:1::::::' >>etc/shadow
	[ ! -f etc/gshadow ] || echo '@USER@:*::' >>etc/gshadow
fi
