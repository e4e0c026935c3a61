"""The server of the page: what it refuses, what it serves, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ovss.web.guard import names_address
from tests.web.page_parts import LIMITS, image_bytes, new_desk

pytest.importorskip("gradio", reason="needs gradio: pip install 'ovss[web]'")


CLOSED = 0
"""Status if the server closes the connection while it is sent more than it reads."""


@pytest.fixture(scope="module")
def site():
    """Folder, desk and address of a running page."""
    from ovss.web.samples import scene_samples
    from ovss.web.server import PageServer, private_folder

    with private_folder() as folder:
        desk = new_desk(folder)
        samples = scene_samples(folder / "samples", 1, 2, 64)
        server = PageServer(desk, samples, [], "127.0.0.1", 0)
        with server.in_thread() as address:
            yield folder, desk, address


def fetch(url, data=None, headers=None):
    """Status and body of a request."""
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers
    except (urllib.error.URLError, ConnectionError) as error:
        if not isinstance(getattr(error, "reason", error), ConnectionError):
            raise
        return CLOSED, b"", {}


def multipart(content, name="photo.png"):
    body = (
        b'--X\r\nContent-Disposition: form-data; name="files"; filename="'
        + name.encode()
        + b'"\r\nContent-Type: image/png\r\n\r\n'
        + content
        + b"\r\n--X--\r\n"
    )
    return body, {"Content-Type": "multipart/form-data; boundary=X"}


def post(url, value):
    return fetch(url, json.dumps(value).encode(), {"Content-Type": "application/json"})


def test_the_folder_is_private(site):
    folder, _, _ = site
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder / "gradio")


@pytest.mark.parametrize("path", ["/etc/passwd", str(Path(__file__)), "setup.cfg", "../setup.cfg"])
def test_nothing_outside_is_served(site, path):
    _, _, address = site
    for route in ("gradio_api/file=", "file=", "gradio_api/file/", "result/../", "result/x/"):
        status, body, _ = fetch(f"{address}{route}{path}")
        assert status in (403, 404, 405), route
        assert b"root:" not in body
        assert b"metadata" not in body


def test_results_cannot_be_guessed_and_have_no_other_files(site):
    _, _, address = site
    status, body, _ = fetch(f"{address}result/unknown/labels.png")
    assert (status, body) == (404, b"this result is no longer kept. Segment the image again")
    assert fetch(f"{address}result/unknown/image.npy")[:2] == (404, b"no such file")


@pytest.mark.parametrize("name", ["../../../escaped.png", "..\\escaped.png", "/tmp/escaped.png"])
def test_names_of_uploads_stay_in_the_folder(site, name):
    folder, _, address = site
    status, body, _ = fetch(f"{address}gradio_api/upload", *multipart(image_bytes(), name))
    assert status == 200
    (path,) = json.loads(body)
    assert Path(path).resolve().is_relative_to(folder / "gradio")
    assert not list(folder.parent.glob("escaped.png"))
    assert not (Path(tempfile.gettempdir()) / "escaped.png").exists()


def test_large_requests_are_refused(site):
    folder, _, address = site
    before = set(folder.rglob("*"))
    big = bytes(LIMITS.upload + 100)
    status, body, _ = fetch(f"{address}gradio_api/upload", *multipart(big))
    assert (status, body) in [
        (413, b"File size exceeded maximum allowed size of 1048576 bytes."),
        (CLOSED, b""),
    ]
    status, _, _ = fetch(f"{address}gradio_api/upload", *multipart(big * 3))
    assert status in (413, CLOSED)
    status, _, _ = post(f"{address}gradio_api/queue/join", {"data": ["x" * 2**20]})
    assert status in (413, CLOSED)
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "path", ["gradio_api/file=http://example.com/a.png", "file=https://x.y/", "proxy=https://x.y/",
             "gradio_api/file=%68ttp%3A//example.com/"],
)  # fmt: skip
def test_the_server_fetches_no_address(site, path):
    _, _, address = site
    assert fetch(address + path)[0] == 403


def test_files_of_requests_are_no_addresses(site):
    _, _, address = site
    file = {"path": "http://example.com/a.png", "meta": {"_type": "gradio.FileData"}}
    body = {"data": [file, "cat", "", 0, ["maskclip_mini"]], "fn_index": 0, "session_hash": "a"}
    status, text, _ = post(f"{address}gradio_api/queue/join", body)
    assert (status, text) == (400, b"The request is too large, or names another host.")


def test_addresses_in_requests():
    assert names_address(b'{"data": [{"a": [{"path": "\\u0068ttps://x"}]}]}')
    assert not names_address(b'{"data": [{"path": "/tmp/x", "url": "http://127.0.0.1/x"}]}')
    assert not names_address(b"{")
    assert not names_address(b"[" * 100_000)


def test_other_host_names_are_refused(site):
    _, _, address = site
    assert fetch(address, headers={"Host": "attacker.example"})[0] == 421
    assert fetch(address, headers={"Host": "localhost:1234"})[0] == 200


def test_browsers_are_kept_off_other_hosts(site):
    _, _, address = site
    status, body, headers = fetch(address)
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert b"fonts.googleapis" not in body


def test_a_full_queue_refuses_requests(tmp_path):
    from dataclasses import replace

    from ovss.web.server import PageServer, private_folder

    limits = replace(LIMITS, waiting=2, running=1)
    blocked = threading.Event()
    with private_folder() as folder:
        desk = new_desk(folder, limits, methods=("maskclip_mini",))
        desk.models.build = lambda name: blocked.wait(60) and None
        with PageServer(desk, [], [], "127.0.0.1", 0).in_thread() as address:
            _, body, _ = fetch(f"{address}gradio_api/upload", *multipart(image_bytes()))
            file = {"path": json.loads(body)[0], "meta": {"_type": "gradio.FileData"}}
            data = {"data": [file, "cat, dog", "", 0, ["maskclip_mini"]], "fn_index": 0}
            url = f"{address}gradio_api/queue/join"
            statuses = [post(url, {**data, "session_hash": f"user{i}"})[0] for i in range(8)]
            blocked.set()
    assert statuses[:2] == [200, 200]
    assert statuses[-1] == 503
    assert statuses == sorted(statuses)


def start(*flags, folder):
    command = [sys.executable, "-m", "ovss", "demo", "--web", "--port", "0", *flags]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_the_command_ends_and_leaves_no_files(tmp_path, number):
    process = start("--models", "maskclip_mini", "naclip_vit-b16", folder=tmp_path)
    line = process.stdout.readline()
    assert line.startswith("page: http://127.0.0.1:"), process.communicate()
    assert "(1 methods; Ctrl-C ends it)" in line
    assert fetch(line.split()[1])[0] == 200
    assert list(tmp_path.glob(".ovss-page*"))
    stream = urllib.request.urlopen(f"{line.split()[1]}gradio_api/heartbeat/a", timeout=60)
    process.send_signal(number)  # while a browser shows the page
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "page closed\n"), errors
    assert errors.startswith("warning: naclip_vit-b16 is not offered: the weights openai of")
    assert errors.count("\n") == 1
    stream.close()
    left = {path.name for path in tmp_path.iterdir()}
    assert not {name for name in left if "ovss" in name or "gradio" in name}


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--port", "1"], "--port is for the page. Use it with --web"),
        (["--max-upload", "5"], "--max-upload is for the page. Use it with --web"),
        (["--web", "--models", "naclip_vit-b16"], "No method can be used: naclip_vit-b16: the "),
        (["--web", "--samples", "absent"], "absent: no such folder. Correct --samples"),
        (["--web", "--models", "maskclip_mini", "--host", "300.1.1.1"], "cannot listen on 300."),
    ],
)
def test_wrong_flags_give_one_line(flags, text, capsys, monkeypatch, tmp_path):
    from ovss.cli.main import main

    monkeypatch.chdir(tmp_path)
    assert main(["demo", *flags]) == 1
    errors = capsys.readouterr().err
    assert text in errors
    assert errors.count("\n") == 1


def test_a_used_port_gives_one_line(site, capsys):
    from ovss.cli.main import main

    port = site[2].rstrip("/").rpartition(":")[2]
    assert main(["demo", "--web", "--models", "maskclip_mini", "--port", port]) == 1
    assert f"port {port}: Address already in use. Choose another" in capsys.readouterr().err


def test_without_gradio_one_line_says_what_to_install(capsys, monkeypatch):
    from ovss.cli.main import main

    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", "--web"]) == 1
    assert capsys.readouterr().err == (
        "error: The page needs the package gradio, which is not installed. Run pip install "
        "'ovss[web]'.\n"
    )


def test_the_folder_of_a_killed_page_is_deleted_by_the_next(tmp_path, monkeypatch):
    from ovss.web.server import private_folder

    code = "from ovss.web.server import private_folder\nwith private_folder() as folder:\n"
    code += (
        "    (folder / 'upload.png').write_bytes(b'x')\n    print(folder, flush=True)\n    input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    left = Path(process.stdout.readline().strip())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with private_folder() as folder:
        assert (left / "upload.png").is_file()  # its process lives
    process.kill()
    process.communicate()
    assert left.is_dir()
    with private_folder() as folder:
        assert folder.parent == left.parent
        assert not left.exists()
    assert not folder.exists()
