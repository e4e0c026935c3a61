"""Page of `ovss demo --web`: flags, and starting the server."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import traceback
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import INPUT_ERRORS, describe
from .options import integer_in, is_out_of_memory

if TYPE_CHECKING:
    from ovss.web.limits import Limits
    from ovss.web.methods import MethodChoice
    from ovss.web.samples import Sample

__all__ = ["add_page_flags", "check_page_flags", "run_page"]

HOST, PORT = "127.0.0.1", 7860
MOST_MIB = 1024
MOST_PIXELS = 100_000_000  # ovss.io.decoding.MAX_PIXELS: the command of the page reads no more
PAGE_FLAGS = ("host", "port", "models", "samples", "max_upload", "max_pixels", "open")


def add_page_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--web` and the flags of the page."""
    group = parser.add_argument_group("page in a browser (needs `pip install 'ovss[web]'`)")
    group.add_argument(
        "--web",
        action="store_true",
        help="serve a page that segments uploaded images, instead of the demo in the terminal; it "
        "uses --images and --size for its sample scenes",
    )
    group.add_argument("--host", help=f"address to listen on (default: {HOST}, this machine only)")
    group.add_argument(
        "--port",
        type=integer_in(0, 65535),
        metavar="N",
        help=f"port to listen on, 0 for any free one (default: {PORT})",
    )
    group.add_argument(
        "--models",
        nargs="+",
        metavar="METHOD",
        help="methods to offer, each perhaps with its weights as METHOD=FILE: a checkpoint, or for "
        "training-free methods the weights of the encoder (default: the bundled models, and photo "
        "models whose weights are cached)",
    )
    group.add_argument(
        "--samples", metavar="DIR", help="offer the images of this folder instead of scenes"
    )
    group.add_argument(
        "--max-upload",
        type=integer_in(1, MOST_MIB),
        metavar="MIB",
        help="largest uploaded file (default: 20)",
    )
    group.add_argument(
        "--max-pixels",
        type=integer_in(1, MOST_PIXELS),
        metavar="N",
        help="largest image, in pixels (default: 25000000)",
    )
    group.add_argument("--open", action="store_true", default=None, help="open the page")


def check_page_flags(args: argparse.Namespace) -> None:
    """Raises a ValueError for a flag of the page without `--web`."""
    used = [name for name in PAGE_FLAGS if vars(args).get(name) is not None]
    if used and not args.web:
        raise ValueError(f"--{used[0].replace('_', '-')} is for the page. Use it with --web")


def run_page(args: argparse.Namespace, seed: int) -> int:
    """Serves the page until Ctrl-C or the signal TERM.

    Args:
        args: flags of `ovss demo`.
        seed: seed of the sample scenes.
    """
    from ovss.web.server import PageServer, check_gradio, private_folder

    check_gradio()
    limits, photos = _limits(args), _photos(args)
    with _ended_by_signals(), private_folder() as folder:
        from ovss.web.desk import Desk
        from ovss.web.methods import list_methods

        choices = list_methods(args.models or ())
        usable = [choice for choice in choices if not choice.problem]
        if not usable:
            raise ValueError(f"No method can be used: {_problems(choices)}. Name another method")
        if args.models:
            for choice in choices[len(usable) :]:
                _warn(f"{choice.name} is not offered: {choice.problem}")
        if photos and not args.models:  # photographs before the scenes' models
            usable.sort(key=lambda choice: choice.is_bundled)
        desk = Desk(usable, limits, folder, folder / "gradio", _page_text, _print_trace)
        samples = _samples(args, photos, folder / "samples", limits, seed)
        server = PageServer(
            desk, samples, choices[len(usable) :], args.host or HOST, _port(args.port)
        )
        _announce(server, len(usable))
        if args.open:  # in a thread, because a browser in the terminal ends with the user
            threading.Thread(target=webbrowser.open, args=[server.address], daemon=True).start()
        server.run()
    return 0


def _limits(args: argparse.Namespace) -> Limits:
    from ovss.web.limits import MIB, Limits

    values: dict[str, Any] = {}
    if args.max_upload is not None:
        values["upload"] = args.max_upload * MIB
    if args.max_pixels is not None:
        values["pixels"] = args.max_pixels
    return Limits(**values)


def _photos(args: argparse.Namespace) -> list[Path]:
    from ovss.io.sources import find_images

    if args.samples is None:
        return []
    if not Path(args.samples).is_dir():
        raise NotADirectoryError(f"{args.samples}: no such folder. Correct --samples")
    return find_images([args.samples])


def _samples(
    args: argparse.Namespace, photos: list[Path], folder: Path, limits: Limits, seed: int
) -> list[Sample]:
    from ovss.web.samples import photo_samples, scene_samples

    if photos:
        return photo_samples(folder, photos, limits, _warn)
    return scene_samples(folder, seed, min(args.images, limits.samples), args.size)


def _port(port: int | None) -> int:
    return PORT if port is None else port


def _problems(choices: list[MethodChoice]) -> str:
    return "; ".join(f"{choice.name}: {choice.problem}" for choice in choices[:3])


def _announce(server: Any, methods: int) -> None:
    if not server.is_local:
        _warn("everybody who reaches this machine can use the page; it has no password")
    print(f"page: {server.address} ({methods} methods; Ctrl-C ends it)", flush=True)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _page_text(error: BaseException) -> str:
    """Line for the users of the page, who see neither paths nor code of the server."""
    if isinstance(error, OSError):
        return f"The server failed: {error.strerror or 'its terminal shows the reason'}"
    if isinstance(error, INPUT_ERRORS) or is_out_of_memory(error):
        return describe(error)
    return "The server failed, and its terminal shows the reason"


def _print_trace(error: Exception) -> None:
    traceback.print_exception(error)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Context that Ctrl-C and the signal TERM leave normally, after its folder is deleted."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        print("page closed", flush=True)
    finally:
        signal.signal(signal.SIGTERM, before)
