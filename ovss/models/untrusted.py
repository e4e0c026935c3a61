"""Checks of configs that come with data, such as result files: they may name known parts only.

A config that the user names is a program and may do anything. A config inside a result, a
checkpoint or a downloaded folder is data, and building it must not run code that the user did not
install for this purpose. mmengine imports any module that a ``type`` or a scope names, reads
pickles and addresses, and has hooks that write to any path. Such a config is therefore reduced to
the keys that its purpose reads, and every value of these keys is checked before anything is built:

- ``type`` names a class that is registered already, and that belongs to ovss, an installed plugin
  or a list of classes that neither read nor write files;
- scopes, file backends, functions, addresses and files that are pickles are refused;
- ``custom_imports`` names modules of ovss or of installed plugins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, Registry

from ovss.encoders.dense import DENSE_MODES
from ovss.layers.backbones import BACKBONES
from ovss.registry import REGISTRIES, register_all
from ovss.segmentor import OpenVocabSegmentor

from .config_source import ConfigError
from .configs import plugin_modules
from .parts import KINDS
from .plugins import find_plugins, import_modules, is_in_plugin, load_plugin

__all__ = [
    "UntrustedConfigError",
    "check_untrusted_blocks",
    "check_untrusted_model",
    "import_untrusted_plugins",
    "keep_keys",
    "registered_class",
]

SCOPE = "mmseg"
"""Scope of every bundled config. mmengine imports the package of any other scope."""

_LAYERS = ("torch.nn.",)
"""Beginnings of modules whose classes compute and touch no files."""
_REFUSED_KEYS = (
    "_scope_",
    "_base_",
    "init_cfg",
    "backend_args",
    "file_client_args",
    "collate_fn",
    "worker_init_fn",
    "multiprocessing_context",
    "generator",
)
"""Keys that mmengine resolves to imports, unpickling, addresses or functions."""
_ADDRESS = re.compile(r"^\s*([A-Za-z][A-Za-z0-9+.\-]*:/|\\\\)")
_PICKLES = (".pkl", ".pickle", ".joblib", ".yaml", ".yml")
_PLAIN = (bool, int, float, Mapping, list, tuple, set, frozenset)
_LONGEST = 60
_DEEPEST = 40


class UntrustedConfigError(ConfigError):
    """A config that comes with data names something that could run code, read or write files."""


def keep_keys(config: Config, keys: Collection[str]) -> Config:
    """Copy of a config with some top-level keys only; the others are dropped unread."""
    return Config({key: value for key, value in config.to_dict().items() if key in keys})


def import_untrusted_plugins(config: Config, source: str) -> None:
    """Imports the modules of ``custom_imports``, all of which must belong to installed plugins.

    Args:
        config: config that comes with data.
        source: file that holds the config, for messages.

    Raises:
        UntrustedConfigError: a module of another kind; nothing was imported.
        PluginError: a plugin fails to import.
    """
    modules = plugin_modules(config, source)
    for name in modules:
        private = any(part.startswith("__") for part in name.split("."))
        if private or not (name.startswith("ovss.") or is_in_plugin(name)):
            raise UntrustedConfigError(
                f"The config in {source} imports the module {name!r}, which belongs to none of the "
                f"installed plugins. Install the plugin as a package with an entry point of the "
                f"group 'ovss.plugins'"
            )
    register_all()
    for plugin in find_plugins():
        if any(f"{name}.".startswith(f"{plugin.module}.") for name in modules):
            load_plugin(plugin)
    import_modules(modules, source)


def check_untrusted_model(model: Any, source: str) -> None:
    """Checks the ``model`` block of a config that comes with data.

    Args:
        model: block to check; its plugins are imported already.
        source: file that holds the config, for messages.

    Raises:
        UntrustedConfigError: the block names something that is not known to be harmless.
    """
    if not isinstance(model, Mapping):
        raise _refused(source, "model", model, "a segmentor", "dict(type=..., ...) is needed")
    kind = model.get("type", "OpenVocabSegmentor")
    cls = registered_class([MODELS], kind)
    if not (isinstance(cls, type) and issubclass(cls, OpenVocabSegmentor)) or not _is_ours(cls):
        raise _refused(source, "model.type", kind, "a registered segmentor")
    for part, registry in KINDS.items():
        block = model.get(part)
        if block is None:
            continue
        kind = block.get("type") if isinstance(block, Mapping) else None
        if registered_class([registry], kind) is None:
            raise _refused(source, f"model.{part}.type", kind, f"a registered {registry.name}")
    inside = {key: value for key, value in model.items() if key != "type"}
    check_untrusted_blocks(inside, [*REGISTRIES, MODELS], source, "model", _is_layer, True)


def check_untrusted_blocks(
    value: Any,
    registries: Iterable[Registry],
    source: str,
    where: str,
    is_harmless: Callable[[type], bool] = lambda cls: False,
    has_options: bool = False,
) -> None:
    """Checks a value of a config that comes with data, and every value in it.

    Args:
        value: value to check.
        registries: registries whose classes blocks may name.
        source: file that holds the config, for messages.
        where: dotted key of the value.
        is_harmless: test of classes that belong neither to ovss nor to an installed plugin.
        has_options: True if a type may be an option of a component, such as
            ``dense=dict(type="naclip")``, which nothing imports. Transforms have none.

    Raises:
        UntrustedConfigError: a value that is not known to be harmless.
    """
    known = list(registries)
    for place, key, item in _walk({where.rpartition(".")[2]: value}, where.rpartition(".")[0], 0):
        if key in _REFUSED_KEYS and item is not None:
            raise _refused(source, place, item, "None")
        if key == "type" or key.endswith("_type"):
            classes = registered_classes(known, item)
            if not classes or not all(_is_ours(cls) or is_harmless(cls) for cls in classes):
                if has_options and (
                    _is_backbone(place, item) or (not classes and _is_option(item))
                ):
                    continue
                raise _refused(source, place, item, "a registered component")
        elif isinstance(item, str):
            if _ADDRESS.match(item):
                raise _refused(source, place, item, "a local name", "addresses are not opened")
            if item.lower().strip().endswith(_PICKLES):
                raise _refused(source, place, item, "another file", "such files can run code")
        elif item is not None and not isinstance(item, _PLAIN):
            raise _refused(source, place, item, "a plain value")


def registered_classes(registries: Iterable[Registry], name: Any) -> list[type]:
    """Every class that tables of registries hold under a name; nothing is imported to find it.

    The tables of mmengine's own registries and those of the scope `SCOPE` count, because a build
    looks in both.
    """
    if not isinstance(name, str):
        return []
    found = []
    for registry in registries:
        tables = [registry, *filter(None, [registry.parent, registry._children.get(SCOPE)])]
        found += [table.module_dict[name] for table in tables if name in table.module_dict]
    return found


def registered_class(registries: Iterable[Registry], name: Any) -> type | None:
    """First class that `registered_classes` finds; None if the name is unknown."""
    return next(iter(registered_classes(registries, name)), None)


def _is_ours(cls: Any) -> bool:
    module = str(getattr(cls, "__module__", ""))
    return module.startswith("ovss.") or is_in_plugin(module)


def _is_layer(cls: Any) -> bool:
    return str(getattr(cls, "__module__", "")).startswith(_LAYERS)


def _is_option(value: Any) -> bool:
    """True for a dense mode, and for a value that mmengine could not import as a module."""
    if value is None or isinstance(value, (bool, int, float)) or _is_mode(value):
        return True
    if not isinstance(value, str) or not value.isidentifier():
        return False
    try:
        return find_spec(value) is None  # finds a module of the first level without importing it
    except (ImportError, ValueError):
        return False


def _is_backbone(place: str, value: Any) -> bool:
    """True for a backbone of `build_backbone`, which looks in a table of its own.

    mmseg registers classes of the same names, once it is imported, and nothing here builds those.
    """
    return place.endswith(".backbone.type") and isinstance(value, str) and value in BACKBONES


def _is_mode(value: Any) -> bool:
    return isinstance(value, str) and value in DENSE_MODES


def _walk(value: Any, where: str, depth: int) -> Iterator[tuple[str, str, Any]]:
    """Yields dotted key, last key and value of everything inside a value."""
    if depth > _DEEPEST:
        raise UntrustedConfigError(f"{where[:_LONGEST]} nests its values too deeply. Simplify it")
    if isinstance(value, Mapping):
        for key, item in value.items():
            place = f"{where}.{key}".strip(".")
            if isinstance(key, str):
                yield place, key, item
            yield from _walk(item, place, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, item in enumerate(value):
            yield f"{where}.{index}", str(index), item
            yield from _walk(item, f"{where}.{index}", depth + 1)


def _refused(
    source: str, where: str, value: Any, expected: str, reason: str = ""
) -> UntrustedConfigError:
    text = repr(value)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    because = f" because {reason}" if reason else ""
    return UntrustedConfigError(
        f"The config in {source} must name {expected} in {where}{because}, but it is {text}. "
        f"Nothing was built, because a config that comes with data must not run code"
    )
