# SPDX-License-Identifier: GPL-2.0
# Run in the root directory of a node that has a /home of its own: how the user comes there, and from there to the others.
umask 077
mkdir -p home/@USER@/.ssh
cat >home/@USER@/.ssh/id_ed25519 <<'END'
@USERKEY@
END
cat >home/@USER@/.ssh/authorized_keys <<'END'
@USERPUBLIC@
END
cat >home/@USER@/.ssh/config <<'END'
@SSHCONFIG@
END
chown -R @UID@:@UID@ home/@USER@
umask 022
