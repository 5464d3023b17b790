"""What a file that is replaced leaves to the new one, and who may read it meanwhile."""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from types import SimpleNamespace

import pytest

from pyfd._core.attributes import take_over
from pyfd._core.writing import write_file

ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"


def acl(user: int, group: int = 0, mask: int = 6) -> bytes:
    """Return an ACL that lets another user read and write; `group` and `mask` are permissions."""
    everybody = 0xFFFFFFFF
    entries = [(1, 6, everybody), (2, 6, user), (4, group, everybody), (0x10, mask, everybody)]
    packed = [struct.pack("<HHI", *entry) for entry in [*entries, (0x20, 0, everybody)]]
    return struct.pack("<I", 2) + b"".join(packed)


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    return path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.fixture
def modes_meanwhile(monkeypatch, tmp_path):
    """The permissions of all temporary files, as they are at every write and change."""
    seen = []

    def watch(name):
        real = getattr(os, name)

        def call(*arguments, **options):
            seen.extend(mode(path) for path in tmp_path.glob(".pyfd-*"))
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    for name in ("write", "fchmod", "close"):
        watch(name)
    return seen


@pytest.mark.usefixtures("umask")
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path, modes_meanwhile):
    write_file(tmp_path / "x.bin", b"data")
    assert mode(tmp_path / "x.bin") == 0o640
    assert set(modes_meanwhile) == {0o640}


@pytest.mark.parametrize("given", [0o600, 0o640, 0o644, 0o666, 0o755, 0o200, 0o777])
@pytest.mark.usefixtures("umask")
def test_a_replaced_file_leaves_its_permissions(old, modes_meanwhile, given):
    old.chmod(given)
    write_file(old, b"new")
    assert mode(old) == given
    assert modes_meanwhile[0] == 0o600  # when the content is written
    assert set(modes_meanwhile) <= {0o600, given}
    old.chmod(0o600)
    assert old.read_bytes() == b"new"


@pytest.mark.parametrize("given", [0o4755, 0o2755, 0o6755])
def test_a_replaced_file_does_not_leave_the_right_to_be_another_user(old, given):
    old.chmod(given)
    write_file(old, b"new")
    assert mode(old) == 0o755


def test_the_target_of_a_link_leaves_its_permissions(old, tmp_path):
    old.chmod(0o600)
    (tmp_path / "link").symlink_to(old)
    write_file(tmp_path / "link", b"new")
    assert mode(old) == 0o600


def test_the_time_of_change_is_new_and_that_of_access_is_kept(old):
    os.utime(old, (1e9, 1e9))
    write_file(old, b"new")
    status = old.stat()
    assert status.st_atime == 1e9
    assert status.st_mtime > 1.5e9


def as_if_of(path, **owner: int) -> SimpleNamespace:
    """Return a file's status, as it would be if it belonged to somebody else."""
    status = path.stat()
    names = ("st_mode", "st_uid", "st_gid", "st_atime_ns")
    return SimpleNamespace(**{name: getattr(status, name) for name in names} | owner)


def given_to(tmp_path, path, old: SimpleNamespace):
    """Return a new file that has taken over what `path` has left, with the status `old`."""
    new = tmp_path / "new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        take_over(descriptor, path, old)
    finally:
        os.close(descriptor)
    return new


def test_owner_and_group_are_kept(old, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(os, "fchown", lambda _file, *ids: given.append(ids))
    old.chmod(0o640)
    uid, gid = old.stat().st_uid, old.stat().st_gid
    write_file(old, b"new")
    assert not given  # they are our own
    new = given_to(tmp_path, old, as_if_of(old, st_uid=uid + 1, st_gid=gid + 1))
    assert given == [(uid + 1, gid + 1)]
    assert mode(new) == 0o640


def test_the_group_alone_is_kept(old, tmp_path, monkeypatch):
    """A user may give a file to another group of theirs, but to no other user."""
    given = []

    def fchown(_file, uid, gid):
        if uid != -1:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        given.append(gid)

    monkeypatch.setattr(os, "fchown", fchown)
    old.chmod(0o660)
    new = given_to(tmp_path, old, as_if_of(old, st_uid=12345, st_gid=54321))
    assert given == [54321]
    assert mode(new) == 0o660


@pytest.mark.parametrize(
    ("before", "after"), [(0o640, 0o600), (0o664, 0o644), (0o646, 0o646), (0o660, 0o600)]
)
def test_another_group_gets_no_more_than_all_others(old, tmp_path, monkeypatch, before, after):
    def fchown(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", fchown)
    old.chmod(before)
    assert mode(given_to(tmp_path, old, as_if_of(old, st_gid=54321))) == after


def test_a_file_system_without_permissions(old, monkeypatch):
    def fchmod(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchmod", fchmod)
    write_file(old, b"new")
    assert old.read_bytes() == b"new"


# ---- ACLs and attributes --------------------------------------------------------


@pytest.fixture
def attributes(monkeypatch):
    """The attributes of files, by their inode, on a file system that keeps them in a dictionary."""
    if sys.platform != "linux":
        pytest.skip("attributes are Linux's")
    held: dict[int, dict[str, bytes]] = {}

    def of(file):
        return held.setdefault(os.stat(file).st_ino, {})  # noqa: PTH116

    def setxattr(file, name, value):
        if name == refused[0]:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        of(file)[name] = value

    refused = [""]
    monkeypatch.setattr(os, "listxattr", lambda file: list(of(file)))
    monkeypatch.setattr(os, "getxattr", lambda file, name: of(file)[name])
    monkeypatch.setattr(os, "removexattr", lambda file, name: of(file).pop(name))
    monkeypatch.setattr(os, "setxattr", setxattr)
    of.refused = refused
    return of


def test_acl_and_attributes_are_kept(old, attributes):
    attributes(old).update({
        ACL: acl(12345), "user.note": b"keep", "security.selinux": b"label",
        "security.capability": b"a right", "security.ima": b"the old content's digest",
    })  # fmt: skip
    old.chmod(0o660)
    write_file(old, b"new")
    kept = {ACL: acl(12345), "user.note": b"keep", "security.selinux": b"label"}
    assert attributes(old) == kept
    assert mode(old) == 0o660


def test_without_its_acl_a_file_gives_the_group_no_more_than_others(old, attributes):
    """The permissions of a file with an ACL show the ACL's mask, not what the group may do."""
    attributes(old)[ACL] = acl(12345, group=0)
    attributes.refused[0] = ACL
    old.chmod(0o660)
    write_file(old, b"new")
    assert mode(old) == 0o600
    attributes(old)["user.note"] = b"lost"
    attributes.refused[0] = "user.note"
    old.chmod(0o660)
    write_file(old, b"newer")
    assert mode(old) == 0o660


def test_a_folder_s_default_acl_is_for_new_files(old, tmp_path):
    """On the file system of the tests, if it has ACLs."""
    try:
        os.setxattr(tmp_path, DEFAULT_ACL, acl(12345))
    except (OSError, AttributeError):
        pytest.skip("no ACLs here")
    write_file(old, b"new")
    assert ACL not in os.listxattr(old)
    write_file(tmp_path / "new", b"new")
    assert ACL in os.listxattr(tmp_path / "new")
    os.setxattr(old, ACL, acl(54321, mask=4))
    write_file(old, b"newer")
    assert os.getxattr(old, ACL) == acl(54321, mask=4)
