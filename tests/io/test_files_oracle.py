"""Atomic writing: what a reader sees at any moment, and what is left."""

from __future__ import annotations

import os
import stat

import pytest

from ovss.io.files import write_atomic, write_text


def test_until_the_end_a_reader_sees_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    seen = []

    def write(file):
        file.write(b"new, ")
        file.flush()
        seen.append(path.read_bytes())
        file.write(b"and longer")
        file.flush()
        seen.append(path.read_bytes())

    write_atomic(path, write)
    assert seen == [b"old", b"old"]
    assert path.read_bytes() == b"new, and longer"
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize("error", [ValueError("bad content"), KeyboardInterrupt(), OSError(5, "x")])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "result.json"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomic(path, write)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_files_have_the_permissions_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "written", "a")
        (tmp_path / "usual").write_text("a")
        assert os.umask(umask) == umask, "the umask is as it was"
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("written", "usual")]
    assert modes[0] == modes[1] == 0o666 & ~umask


def test_text_is_utf8_with_the_line_ends_it_has(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "Straße 道 \u2028\r\nend\n")
    content = (tmp_path / "new" / "a.txt").read_bytes()
    assert content == "Straße 道 \u2028\r\nend\n".encode("utf-8")
