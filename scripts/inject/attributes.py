# SPDX-License-Identifier: GPL-2.0
"""The attributes of files that are beside their modes: capabilities, and lists of who may read. No archive that the kernel unpacks has them."""

import os
import struct

CAPABILITIES = "security.capability"
ACCESS = "system.posix_acl_access"
# Of linux/posix_acl_xattr.h: a version, then tag, permissions and id each; the tag of the owning group.
ACL_HEADER, ACL_ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
ACL_GROUP = 0x04


def _get(path, name):
    try:
        return os.getxattr(path, name)
    except OSError:
        # There is none, or the file system knows no such thing.
        return b""


def lost(path):
    """The names of what a file has beside its mode, as a part of a sentence; nothing if it has nothing."""
    found = [("capabilities (getcap shows them)", CAPABILITIES), ("an access control list (getfacl shows it)", ACCESS)]
    return " and ".join(what for what, name in found if _get(path, name))


def group_may_read(path):
    """Returns whether the group of a file may read it, where its mode says so: with a list that is what any in the list may."""
    content = _get(path, ACCESS)
    entries = ACL_ENTRY.iter_unpack(content[ACL_HEADER.size :]) if content and not (len(content) - ACL_HEADER.size) % ACL_ENTRY.size else ()
    return all(permissions & 4 for tag, permissions, _ in entries if tag == ACL_GROUP)
