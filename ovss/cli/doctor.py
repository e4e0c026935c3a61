"""Check this installation: versions, device, weights, caches and plugins.

The exit code is 1 if something does not work.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

__all__ = ["Finding", "examine"]

IMPORTS = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "pillow": "PIL",
    "safetensors": "safetensors",
    "open_clip_torch": "open_clip",
    "timm": "timm",
    "onedl-mmengine": "mmengine",
    "onedl-mmcv": "mmcv",
    "onedl-mmsegmentation": "mmseg",
}
"""Distribution -> module that it installs."""


@dataclass(frozen=True)
class Finding:
    """Line of the report.

    Args:
        topic: subject of the check.
        state: ``"ok"``, ``"note"`` (something optional is missing) or ``"problem"`` (something does
            not work).
        text: result of the check, and what to do about it.
    """

    topic: str
    state: str
    text: str

    def as_dict(self) -> dict[str, str]:
        """Content for JSON."""
        return asdict(self)


def examine() -> Iterator[Finding]:
    """Runs all checks and yields their findings; a check that raises an error is a problem."""
    for check in CHECKS:
        try:
            yield from check()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            yield Finding(check.__name__.removeprefix("_"), "problem", text)


def _system() -> Iterator[Finding]:
    from ovss import __version__

    yield Finding("ovss", "ok", f"{__version__} in {Path(__file__).parents[1]}")
    old = sys.version_info < (3, 10)
    text = f"{platform.python_version()} at {sys.executable}"
    hint = ". Use Python 3.10 or newer" if old else ""
    yield Finding("python", "problem" if old else "ok", text + hint)
    yield Finding("platform", "ok", f"{platform.platform()}, {os.cpu_count()} cores")


def _packages() -> Iterator[Finding]:
    for distribution, module in IMPORTS.items():
        try:
            importlib.import_module(module)
            yield Finding(distribution, "ok", version(distribution))
        except PackageNotFoundError:
            yield Finding(distribution, "note", f"module {module} comes from another distribution")
        except Exception as error:
            text = f"{type(error).__name__}: {error}. Install it: pip install {distribution}"
            yield Finding(distribution, "problem", text)


def _requirements() -> Iterator[Finding]:
    """Compares installed versions with those that ovss requires; needs `packaging`."""
    if importlib.util.find_spec("packaging") is None:
        return
    from packaging.requirements import Requirement

    try:
        required = requires("ovss") or []
    except PackageNotFoundError:
        yield Finding("installation", "note", "ovss runs from a source folder and is not installed")
        return
    for text in required:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            continue  # `_packages` reports it
        if not requirement.specifier.contains(installed, prereleases=True):
            problem = f"Expected {text}, found {installed}. Install it: pip install '{text}'"
            yield Finding(requirement.name, "problem", problem)


def _device() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(i).total_memory / 2**30
            yield Finding(
                "device", "ok", f"cuda:{i} {torch.cuda.get_device_name(i)}, {memory:.0f} GiB"
            )
    else:
        yield Finding("device", "ok", f"cpu, {torch.get_num_threads()} threads; no GPU found")


def _weights() -> Iterator[Finding]:
    from ovss.models.weights import WEIGHTS_DIR

    from .list_tables import methods

    files = sorted(WEIGHTS_DIR.glob("*.safetensors"))
    listing = ", ".join(f"{f.name} ({f.stat().st_size / 2**20:.1f} MiB)" for f in files)
    yield Finding("weights", "ok" if files else "note", f"{listing or 'none'} in {WEIGHTS_DIR}")
    for method in methods():
        if method["weights"].endswith("(missing)"):
            text = f"{method['weights']}. Train the method, or pass --weights FILE"
            yield Finding(f"weights of {method['name']}", "note", text)


def _default_model() -> Iterator[Finding]:
    """Looks for the CLIP weights that `ovss segment` uses if no model is named."""
    from ovss.encoders.tags import cached_weights
    from ovss.models.configs import find_config, read_config
    from ovss.models.defaults import PHOTO_METHOD

    encoder = read_config(find_config(PHOTO_METHOD)).model.encoder
    path = cached_weights(encoder.model, encoder.pretrained)
    name = f"{encoder.pretrained!r} of {encoder.model}"
    text = f"{PHOTO_METHOD}, weights {name}"
    if path is not None:
        yield Finding("default model", "ok", f"{text} in {path}")
        return
    hint = "The first run downloads them. Without a network, use `ovss segment --pretrained FILE`"
    yield Finding("default model", "note", f"{text} are not cached. {hint}")


def _caches() -> Iterator[Finding]:
    from huggingface_hub.constants import HF_HUB_CACHE

    from ovss.encoders.text_cache import cache_folder
    from ovss.io.files import ensure_writable

    place = cache_folder()
    if place is None:
        yield Finding("text cache", "note", "in memory only, because OVSS_CACHE_DIR turns it off")
    else:
        try:
            ensure_writable(place)
            yield Finding("text cache", "ok", str(place))
        except OSError as error:
            yield Finding("text cache", "note", f"{error}. Set OVSS_CACHE_DIR to another folder")
    remark = "" if Path(HF_HUB_CACHE).is_dir() else " (empty)"
    yield Finding("pre-trained weights", "ok", f"{HF_HUB_CACHE}{remark}")


def _vocabularies() -> Iterator[Finding]:
    from ovss.vocabularies import list_vocabularies, load_names

    names = list_vocabularies()
    for name in names:
        load_names(name)
    yield Finding("vocabularies", "ok", f"{len(names)}, all readable")


def _plugins() -> Iterator[Finding]:
    from ovss.models.plugins import PluginError, find_plugins, plugin_problem

    from .plugin_commands import find_commands

    for plugin in find_plugins():
        problem = plugin_problem(plugin)
        text = f"{plugin.distribution} {plugin.version}, {plugin.path}"
        yield Finding(f"plugin {plugin.name}", "problem" if problem else "ok", problem or text)
    for command in find_commands().values():
        try:
            command.load()
        except PluginError as error:
            yield Finding(f"command {command.name}", "problem", str(error))


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _system,
    _packages,
    _requirements,
    _device,
    _weights,
    _default_model,
    _caches,
    _vocabularies,
    _plugins,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss doctor`."""
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def run(args: argparse.Namespace) -> int:
    """Prints the findings; returns 1 if one of them is a problem."""
    findings = []
    for finding in examine():
        findings.append(finding)
        if not args.json:
            print(f"{finding.state:8} {finding.topic:22} {finding.text}", flush=True)
    if args.json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=2, allow_nan=False))
    problems = sum(finding.state == "problem" for finding in findings)
    if not args.json:
        print(f"{problems} problem{'' if problems == 1 else 's'} found")
    return 1 if problems else 0
