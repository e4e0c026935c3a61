"""Atomic writing under faults: after each, the old file is whole and nothing else is left."""

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

import ovss.io.files as files
from ovss.io.files import (
    delete_tree,
    ensure_target,
    ensure_writable,
    temporary_folder,
    write_atomic,
    write_text,
)

OLD = "the old content\n"


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(OLD)
    return path


def is_untouched(path):
    assert path.read_text() == OLD
    assert os.listdir(path.parent) == [path.name]
    return True


def fails(path, reason):
    with pytest.raises(OSError, match="cannot write") as caught:
        write_atomic(path, lambda file: file.write(b"new" * 1000))
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)


def python(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], timeout=60).returncode


def test_a_file_is_replaced_with_the_mode_of_the_umask(target):
    write_text(target, "new\n")
    assert target.read_text() == "new\n"
    assert os.listdir(target.parent) == [target.name]
    before = os.umask(0o027)
    try:
        write_text(target, "new\n")
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o640


KILLED = """
import os, signal, sys
import ovss.io.files as files
def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "rename":
    os.replace = die
    files.write_text(sys.argv[1], "new" * 5000)
else:
    files.write_atomic(sys.argv[1], lambda file: (file.write(b"n" * 50000), file.flush(), die()))
"""


@pytest.mark.parametrize("moment", ["rename", "write"])
def test_a_kill_leaves_the_old_file_and_the_next_writer_cleans_up(target, moment):
    assert python(KILLED, target, moment) == -signal.SIGKILL
    assert target.read_text() == OLD
    assert len(os.listdir(target.parent)) == 2, "the killed process could not clean up"
    write_text(target.with_name("other"), "x")
    target.with_name("other").unlink()
    assert is_untouched(target)


def test_the_temporary_file_of_a_living_writer_stays(target):
    def write(file):
        files._next_listing.clear()
        # another process that writes here takes the file of this one for what it is
        code = "import sys, ovss.io.files as f; f.write_text(sys.argv[1], 'other')"
        assert python(code, target.with_name("other")) == 0
        file.write(b"new")

    write_atomic(target, write)
    assert target.read_text() == "new"
    assert sorted(os.listdir(target.parent)) == ["other", target.name]


def test_a_writer_whose_file_is_taken_for_a_leftover_starts_again(target, monkeypatch):
    lock, calls = files.try_lock, []

    def late_lock(descriptor):
        if not calls:  # another process deletes the file before it is locked
            for entry in target.parent.glob(".*.ovss.tmp"):
                entry.unlink()
        calls.append(descriptor)
        return lock(descriptor)

    monkeypatch.setattr(files, "try_lock", late_lock)
    write_text(target, "new")
    assert target.read_text() == "new"
    assert len(calls) == 2


def test_a_file_is_locked_until_it_is_renamed(target, monkeypatch):
    replace, was_free = os.replace, []

    def rename(old, new):
        with open(old, "rb") as other:
            was_free.append(files.try_lock(other.fileno()))
        replace(old, new)

    monkeypatch.setattr(os, "replace", rename)
    write_text(target, "new")
    assert was_free == [False]


def test_foreign_files_are_no_leftovers(target):
    names = [".result.json.abcd1234.tmp", ".x.ovss.tmp", "x.12345678.ovss.tmp", ".hidden"]
    for name in names:
        target.with_name(name).write_text("")
    write_text(target, "new")
    assert sorted(os.listdir(target.parent)) == sorted([*names, target.name])


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_rename_or_sync_that_fails(target, monkeypatch, call):
    def fail(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    fails(target, "Input/output error")
    assert is_untouched(target)


def test_a_full_disk(target):
    def write(file):
        file.write(b"part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="cannot write: No space left") as caught:
        write_atomic(target, write)
    assert caught.value.errno == errno.ENOSPC
    assert is_untouched(target)


def test_a_limit_that_strikes_while_the_buffer_is_flushed(target):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        fails(target, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert is_untouched(target)


def test_an_error_of_the_writer_passes_through(target):
    with pytest.raises(KeyError):
        write_atomic(target, lambda file: {}["missing"])
    assert is_untouched(target)


@contextmanager
def special_files(folder):
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(folder)  # the address of a socket is short
        try:
            bound.bind("socket")
        finally:
            os.chdir(here)
        yield


def unread(path):
    """What the system knows of a file, except when it was read, as following a link reads it."""
    found = os.lstat(path)
    return (*found[:7], found.st_mtime_ns, found.st_ctime_ns)


def test_only_regular_files_are_replaced(tmp_path):
    kinds = {"pipe": "a named pipe", "folder": "a folder", "socket": "a socket"}
    with special_files(tmp_path):
        for name, kind in kinds.items():
            (tmp_path / f"link to {name}").symlink_to(tmp_path / name)
            for path in (tmp_path / name, tmp_path / f"link to {name}"):
                before = unread(path)
                for call in (ensure_target, lambda p: write_text(p, "x")):
                    with pytest.raises(OSError, match=f"expected a regular file, found {kind}"):
                        call(path)
                assert unread(path) == before
        assert len(os.listdir(tmp_path)) == 6


@pytest.mark.parametrize("device", ["/dev/full", "/dev/null", "/dev/stdout", "/dev/new-file"])
def test_devices_are_not_replaced(device, monkeypatch):
    def replace(*_: object) -> None:
        raise AssertionError("as root, this would replace a device of the system")

    monkeypatch.setattr(os, "replace", replace)
    before = os.path.lexists(device) and os.lstat(device).st_mode
    for call in (ensure_target, lambda p: write_text(p, "x")):
        with pytest.raises(OSError, match="expected a"):
            call(device)
    assert (os.path.lexists(device) and os.lstat(device).st_mode) == before


def test_a_link_is_replaced_and_its_target_stays(target):
    link = target.with_name("link.json")
    link.symlink_to(target)
    write_text(link, "new")
    assert not link.is_symlink()
    assert (link.read_text(), target.read_text()) == ("new", OLD)


def test_a_folder_that_cannot_be_used(target):
    with pytest.raises(OSError, match="expected a folder, found a file"):
        write_text(target / "below", "x")
    with pytest.raises(OSError, match="expected a folder, found a device"):
        ensure_writable("/dev/null")
    with pytest.raises(OSError, match="NUL"):
        write_text(f"{target}\0", "x")
    assert is_untouched(target)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(target):
    target.parent.chmod(0o500)
    try:
        fails(target, "Permission denied")
        assert is_untouched(target)
    finally:
        target.parent.chmod(0o700)


def test_durable_writes_reach_the_disk_before_and_after_the_rename(target, monkeypatch):
    events, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("sync"), sync(fd)))
    monkeypatch.setattr(os, "replace", lambda *names: (events.append("rename"), replace(*names)))
    write_text(target, "new")
    assert events == ["sync", "rename", "sync"]
    write_text(target, "new", durable=False)
    assert events[3:] == ["rename"]


def test_readers_never_see_a_partial_file(target):
    def write(file):
        for _ in range(3):
            file.write(b"new")
            file.flush()
            assert target.read_text() == OLD
            assert os.stat(target).st_ino != os.fstat(file.fileno()).st_ino

    write_atomic(target, write)
    assert target.read_text() == "newnewnew"


def test_a_temporary_folder_is_deleted_at_the_end_or_by_the_next_process(tmp_path):
    code = (
        "import os, signal, sys, ovss.io.files as f\n"
        "with f.temporary_folder(sys.argv[1], 'video') as place:\n"
        "    (place / 'part').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert python(code, tmp_path) == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 1
    with temporary_folder(tmp_path, "video") as place:
        assert os.listdir(tmp_path) == [place.name]
        assert (
            python("import sys, ovss.io.files as f; f.delete_leftovers(sys.argv[1])", tmp_path) == 0
        )
        assert place.is_dir(), "its process is alive"
    assert not os.listdir(tmp_path)


def test_links_are_not_followed_while_deleting(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    with pytest.raises(OSError, match="found a symbolic link"):
        delete_tree(tmp_path / "link")
    delete_tree(tmp_path / "old")
    assert (tmp_path / "kept" / "file").exists()
