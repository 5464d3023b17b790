"""What a new file takes over from the one that it replaces: who may use it, and its attributes."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

_ACL = "system.posix_acl_access"


def take_over(descriptor: int, path: Path, old: os.stat_result) -> None:
    """Give a new file the permissions of an old one, and where permitted the rest.

    That is what a write in place would keep: the owner and the group, the ACL, the user's
    attributes, SELinux' label and the time of access. The set-user-ID bits and
    capabilities, which such a write drops, and the time of change are the new file's own.

    Nobody but the writer can read the new file who could not read the old one: if the
    group or the ACL cannot be kept, the group gets no more than all others have.

    Args:
        descriptor: The new file, whose permissions are 0600.
        path: The old file.
        old: Its status.
    """
    if not hasattr(os, "fchmod"):  # a system whose files have no such permissions
        return
    kept = _keep_group(descriptor, old)
    kept = _keep_attributes(descriptor, path) and kept
    mode = stat.S_IMODE(old.st_mode) & 0o777
    if not kept:
        mode &= ~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3
    with suppress(OSError):  # a file system without permissions
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=(old.st_atime_ns, os.fstat(descriptor).st_mtime_ns))


def _keep_group(descriptor: int, old: os.stat_result) -> bool:
    """Keep the owner and the group, or the group alone; return whether the group is kept."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid):
        return True
    for owner in (old.st_uid, -1):
        with suppress(OSError):
            os.fchown(descriptor, owner, old.st_gid)
            return True
    return False


def _keep_attributes(descriptor: int, path: Path) -> bool:
    """Keep the attributes that a write in place keeps; return whether the ACL is kept."""
    if sys.platform != "linux":
        return True
    kept = True
    old = _attributes(path)
    if _ACL not in old and _ACL in _attributes(descriptor):  # the directory's default
        try:
            os.removexattr(descriptor, _ACL)
        except OSError:
            kept = False
    for name in old:
        if name in (_ACL, "security.selinux") or name.startswith("user."):
            try:
                os.setxattr(descriptor, name, os.getxattr(path, name))
            except OSError:
                kept = kept and name != _ACL
    return kept


def _attributes(file: Path | int) -> list[str]:
    try:
        return os.listxattr(file)
    except OSError:  # a file system without attributes
        return []
