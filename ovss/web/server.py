"""Server of the page."""

from __future__ import annotations

import importlib.util
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ovss.io.advice import advised
from ovss.io.files import temporary_folder

from .answers import Answers
from .desk import Desk
from .guard import LOOPBACK, Guard
from .page import FILE, build_page

__all__ = ["PageServer", "check_gradio", "private_folder"]

SECONDS_TO_END = 2
"""Seconds that connections get at the end; a browser holds one while it shows the page."""

OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def check_gradio() -> None:
    """Raises an ImportError that says how to install gradio if it is not installed."""
    # imported in `private_folder` only, because the import makes folders for its files
    if importlib.util.find_spec("gradio") is None:
        raise ImportError(
            "The page needs the package gradio, which is not installed. "
            "Run pip install 'ovss[web]'."
        )


@contextmanager
def private_folder() -> Iterator[Path]:
    """Context with a folder that only this user reads, deleted at the end.

    Meanwhile the environment keeps gradio and the hub client off the network, and gradio's files
    in this folder. If the process is killed, the next one deletes the folder.
    """
    with temporary_folder(tempfile.gettempdir(), "ovss-page") as folder:
        folder.chmod(0o700)
        values = {**OFFLINE, "GRADIO_TEMP_DIR": str(folder / "gradio")}
        values["GRADIO_EXAMPLES_CACHE"] = str(folder / "examples")
        before = {name: os.environ.get(name) for name in values}
        os.environ.update(values)
        try:
            yield folder
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


class PageServer:
    """Serves the page until it is stopped.

    Args:
        desk: answers requests.
        samples: images of the gallery.
        others: methods that cannot be used, with the reasons.
        host: address to listen on.
        port: port; 0 for any free one.

    Attributes:
        address: address of the page for a browser on this machine.
        is_local: True if only this machine reaches the page.

    Raises:
        OSError: the address or the port cannot be used.
    """

    def __init__(
        self, desk: Desk, samples: Sequence[Any], others: Sequence[Any], host: str, port: int
    ) -> None:
        import uvicorn

        self._socket = _listening(host, port)
        port = self._socket.getsockname()[1]
        self.is_local = host in LOOPBACK
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.address = f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"
        app = _application(desk, build_page(desk, samples, others), host)
        config = uvicorn.Config(
            app,
            log_level="critical",  # it logs every connection that the end cuts off as an error
            timeout_graceful_shutdown=SECONDS_TO_END,
            lifespan="on",
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serves until `stop`, Ctrl-C or the signal TERM.

        The socket listens before, so that a browser that connects early waits.
        """
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Ends `run` in another thread."""
        self._server.should_exit = True

    @contextmanager
    def in_thread(self) -> Iterator[str]:
        """Context in which the page is served by a thread; gives its address."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield self.address
        finally:
            self.stop()
            thread.join()


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=128)
    except (OSError, UnicodeError, OverflowError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (")[0]
        problem = OSError(f"The page cannot listen on {host} port {port}: {reason}")
        raise advised(problem, "address") from error


def _application(desk: Desk, page: Any, host: str) -> Any:
    """Application with the downloads, the page and the guard."""
    import gradio as gr
    from fastapi import FastAPI

    app = FastAPI(openapi_url=None)
    app.add_api_route("/result/{token}/{name}", _download_route(desk.answers), methods=["GET"])
    gr.mount_gradio_app(
        app,
        page,
        "/",
        server_name=host,
        footer_links=[],
        allowed_paths=[],
        show_error=False,
        max_file_size=desk.limits.upload,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=gr.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css_paths=FILE.with_name("page.css"),
    )
    return Guard(app, desk.limits.upload, host, desk.report)


def _download_route(answers: Answers) -> Callable[..., Any]:
    from starlette.responses import FileResponse, PlainTextResponse

    def download(token: str, name: str):  # type: ignore[no-untyped-def] # FastAPI reads annotations
        try:
            file = answers.file(token, name)
        except KeyError as error:
            return PlainTextResponse(str(error.args[0]), status_code=404)
        return FileResponse(file.path, media_type=file.media, filename=file.file_name)

    return download
