"""Tables of `ovss list`: one function per section, one dict per row."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config


def components(kind: str | None = None) -> list[dict[str, Any]]:
    """All registered classes, including those of installed plugins.

    Args:
        kind: kind of component, a value of `KINDS`; None: all kinds.
    """
    from ovss.models.plugins import load_available_plugins
    from ovss.registry import REGISTRIES, register_all

    register_all()
    load_available_plugins()
    rows = []
    for registry in (r for r in REGISTRIES if kind in (None, r.name)):
        for name in registry.names():
            cls = registry.find(name)
            rows.append(
                {
                    "kind": registry.name,
                    "name": name,
                    "module": cls.__module__,
                    "summary": (inspect.getdoc(cls) or "").partition("\n")[0],
                }
            )
    return rows


def methods() -> list[dict[str, Any]]:
    """All configs, with the published method, how far it equals that, and its weights."""
    from ovss.models.configs import list_configs, read_config
    from ovss.models.weights import find_weights
    from ovss.results.zoo import method_of, weights_state

    rows = []
    for name, path in list_configs().items():
        method, named = method_of(path), read_config(path).get("weights")
        file = ""
        if named:
            try:
                file = str(find_weights(named))
            except FileNotFoundError:
                file = f"{named} (missing)"
        rows.append(
            {
                "name": name,
                "method": method.name if method else "-",
                "parity": method.parity if method else "-",
                "weights": weights_state(path, named),
                "license": (method.license or "-") if method else "-",
                "weights_file": file,
                "path": str(path),
            }
        )
    return rows


def datasets() -> list[dict[str, Any]]:
    """All bundled datasets for ``ovss test --on``, with their folder and classes."""
    from ovss.models.configs import config_dir, read_config

    rows = []
    for path in sorted((config_dir() / "_base_" / "datasets").glob("*.py")):
        dataset = read_config(path).test_dataloader.dataset
        names = dataset.get("vocabulary")
        vocabulary = names if isinstance(names, str) else f"{len(names or ())} names"
        rows.append(
            {"name": path.stem, "vocabulary": vocabulary, "images": dataset.get("images", "drawn")}
        )
    return rows


def protocols(dataset: str | None = None) -> list[dict[str, Any]]:
    """All named protocols with their hashes, prompts, sizes, views and quoted mIoU.

    Args:
        dataset: dataset of the full hash, named as for `ovss test --on`; None: no full hash. On
            some datasets a protocol has other fields and therefore another method hash.
    """
    from ovss.protocols.named import method_hash, named_protocols
    from ovss.protocols.protocol import ABSENT, Protocol, ProtocolError, templates_name
    from ovss.protocols.settled import named_on

    data = _data_config(dataset) if dataset else None
    rows = []
    for name, named in named_protocols().items():
        how = named.template.plain()
        hashes = {"method_hash": method_hash(Protocol(how).as_dict(), name), "full_hash": None}
        if data is not None:
            with suppress(ProtocolError):  # the dataset cannot be evaluated under this protocol
                settled = named_on(named, data)
                how = settled.protocol.how
                hashes = {"method_hash": settled.method_hash, "full_hash": settled.full_hash}
        views = f"{how.views.mode} {how.views.window or ''}/{how.views.stride or ''}".strip(" /")
        rows.append(
            {
                "name": name,
                **hashes,
                "prompts": f"{templates_name(how.prompts.templates)}, {how.prompts.synonyms}",
                "resize": "-" if how.resize.short is None else str(how.resize.short),
                "canvas": str(how.canvas.size),
                "views": views,
                "quotes": ABSENT[how.scores.absent][0],
                "source": named.source,
            }
        )
    return rows


def _data_config(name: str) -> Config:
    from mmengine.config import Config

    from ovss.models.configs import use_dataset

    config = Config()
    use_dataset(config, name)
    return config


def add_titles(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Column titles of the protocols; without a dataset the full hash has no values."""
    titles = {key: key.replace("_", " ") for key in rows[0]}
    if all(row["full_hash"] is None for row in rows):
        titles["full_hash"] = "full hash (--on)"
    for row in rows:
        row["full_hash"] = row["full_hash"] or "-"
    return titles


def vocabularies() -> list[dict[str, Any]]:
    """All registered vocabularies."""
    from ovss.vocabularies import list_vocabularies, load_names

    rows = []
    for name in list_vocabularies():
        names = load_names(name)
        sample = "; ".join(names[:4])
        rows.append({"name": name, "categories": len(names), "sample": sample})
    return rows


def templates() -> list[dict[str, Any]]:
    """All registered lists of prompt templates."""
    from ovss.vocabularies import list_templates, load_templates

    rows = []
    for name in list_templates():
        prompts = load_templates(name)
        rows.append({"name": name, "prompts": len(prompts), "sample": prompts[0]})
    return rows


def plugins() -> list[dict[str, Any]]:
    """All installed plugins, including those that fail to load."""
    from ovss.models.plugins import find_plugins, plugin_problem

    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "module": plugin.module,
            "path": plugin.path,
            "problem": plugin_problem(plugin),
        }
        for plugin in find_plugins()
    ]


TABLES = {
    "components": components,
    "methods": methods,
    "datasets": datasets,
    "protocols": protocols,
    "vocabularies": vocabularies,
    "templates": templates,
    "plugins": plugins,
}
"""Function of each section."""
