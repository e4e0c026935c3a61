"""Locks between processes, and files that are opened only if they are regular."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from ovss.io import locks
from ovss.io.locks import FileLock
from ovss.io.regular import ensure_readable, inherited_pipe, open_regular

HOLD = """
import sys, time
from ovss.io.locks import FileLock
lock = FileLock(sys.argv[1], "training")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_and_the_lock_ends_with_the_first(tmp_path, holder):
    with pytest.raises(BlockingIOError, match=f"another training \\(process {holder.pid}\\)") as e:
        FileLock(tmp_path / ".lock", "training")
    assert e.value.filename == str(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    FileLock(tmp_path / ".lock", "training").release()


def test_a_process_may_take_its_own_lock_twice_and_children_do_not_keep_it(tmp_path):
    first, second = (FileLock(tmp_path / ".lock", "training", again=True) for _ in range(2))
    with pytest.raises(BlockingIOError, match=f"process {os.getpid()}"):
        FileLock(tmp_path / ".lock", "training")
    first.release()
    assert _is_busy(tmp_path), "the second one still holds it"
    child = os.fork()
    if not child:
        signal.pause()
    try:
        second.release()
        assert not _is_busy(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _is_busy(folder):
    code = "import sys; from ovss.io.locks import FileLock; FileLock(sys.argv[1], 'x')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / ".lock")], capture_output=True, text=True
    )
    return "BlockingIOError" in done.stderr


def test_a_lock_file_that_was_deleted_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    path, lock, calls = tmp_path / ".lock", locks.try_lock, []

    def late_lock(descriptor, *, wait=False):
        if not calls:  # the previous owner ends at this moment
            path.unlink()
        calls.append(descriptor)
        return lock(descriptor, wait=wait)

    monkeypatch.setattr(locks, "try_lock", late_lock)
    with FileLock(path, "training"):
        assert len(calls) == 2
        with pytest.raises(BlockingIOError, match="another training"):
            FileLock(path, "training")


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_a_planted_lock_file_does_not_change_another_file(tmp_path, kind):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (os.symlink if kind == "link" else os.link)(victim, tmp_path / ".lock")
    for call in (lambda p: FileLock(p, "training"), lambda p: open_regular(p, "a")):
        with pytest.raises(OSError, match=r"found (a symbolic link|hard links)"):
            call(tmp_path / ".lock")
    assert victim.read_text() == "precious"


def test_special_files_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    paths = {tmp_path / "pipe": "a named pipe", tmp_path: "a folder", "/dev/zero": "a device"}
    for path, kind in paths.items():
        writers = (lambda p: open_regular(p, "a"), lambda p: open_regular(p, "r+b"))
        for call in (open_regular, ensure_readable, *writers):
            with pytest.raises(OSError, match=f"expected a regular file, found {kind}"):
                call(path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "missing")
    with pytest.raises(OSError, match="a path cannot hold a NUL character"):
        open_regular("a\0b")


def test_files_are_read_through_links_and_appended_to(tmp_path):
    with open_regular(tmp_path / "file", "a") as file:
        file.write("é\n")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link", "r") as file:
        assert file.read() == "é\n"


def test_only_pipes_of_open_descriptors_are_inherited(tmp_path):
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, b"bytes"), os.close(writer)))
    thread.start()
    with inherited_pipe(f"/dev/fd/{reader}") as stream:
        assert stream.read() == b"bytes"
    thread.join()
    os.close(reader)
    os.mkfifo(tmp_path / "pipe")
    assert inherited_pipe(tmp_path / "pipe") is None
