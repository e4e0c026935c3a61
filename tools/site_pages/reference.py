"""Pages of the API reference: directives of mkdocstrings, and tables of components."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import ovss
from ovss import interfaces, structures, testing
from ovss.registry import REGISTRIES, ComponentRegistry

from .configs import components, summary
from .options import component_section

_INFERENCE = ("segment", "Inferencer", "SegmentationResult")
_MODELS = ("create_model", "list_models", "build_segmentor", "load_config", "OpenVocabSegmentor",
           "load_vocabulary", "list_vocabularies", "Vocabulary")  # fmt: skip
_PROTOCOLS = (
    "protocols.protocol",
    "protocols.named",
    "protocols.read",
    "protocols.write",
    "protocols.checks",
)


def reference_pages() -> dict[str, str]:
    """Text of the pages by their path in the site."""
    pages = {
        "inference.md": _page("Segmenting", "Segment images from Python.", _INFERENCE),
        "models.md": _page("Models and vocabularies", "Build models and read lists.", _MODELS),
        "records.md": _module_page(
            "Records",
            "Records flow between components. A tensor's name ends in its axes: `B` images, `T` "
            "categories in the vocabulary, `K` categories kept, `P` prompt templates, `C` joint "
            "channels, `D` volume channels, `Q` regions, `S` embeddings of a region, `H W` pixels, "
            "`h w` feature cells.",
            [
                name
                for name in structures.__all__
                if inspect.isclass(getattr(structures, name)) and name not in _MODELS
            ],
            structures,
        ),
        "interfaces.md": _module_page(
            "Interfaces",
            "Subclass exactly one of these to write a component.",
            [kind.kind.__name__ for kind in REGISTRIES],
            interfaces,
        ),
        "registries.md": _registries(),
        "components.md": _components(),
        "protocols.md": _protocols(),
        "testing.md": _module_page("Testing", summary(testing), sorted(testing.__all__), testing),
    }
    return {"api/index.md": _index()} | {f"api/{name}": text for name, text in pages.items()}


def place_of(value: Any) -> str:
    """Dotted path of the module and the name that define a function or class."""
    return f"{value.__module__}.{value.__qualname__}"


def _directive(value: Any, name: str, level: int = 2) -> str:
    """Documentation of a function or class under its public name."""
    options = f"heading: {name}\n      toc_label: {name}\n      heading_level: {level}"
    return f"::: {place_of(value)}\n    options:\n      {options}\n"


def _page(title: str, text: str, names: tuple[str, ...]) -> str:
    parts = [_directive(getattr(ovss, name), f"ovss.{name}") for name in names]
    return "\n".join([f"# {title}\n\n{text}\n", *parts])


def _module_page(title: str, text: str, names: list[str], module: Any) -> str:
    parts = []
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            public = "ovss" if name in ovss.__all__ else module.__name__
            parts.append(_directive(value, f"{public}.{name}"))
        else:
            parts.append(f"## {module.__name__}.{name}\n\n{_members(value)}")
    return "\n".join([f"# {title}\n\n{text}\n", *parts])


def _members(value: Any) -> str:
    """List of the functions in a constant, with the first lines of their docstrings."""
    return "".join(f"- `{each.__name__}`: {summary(each)}\n" for each in value)


def _registries() -> str:
    rows = ["| registry | kind | interface | components |", "|---|---|---|---|"]
    names: dict[str, list[str]] = {}
    for registry, name, _ in components():
        names.setdefault(registry.name, []).append(f"`{name}`")
    for variable, registry in _registry_names().items():
        rows.append(
            f"| `{variable}` | {registry.name} | [`{registry.kind.__name__}`](interfaces.md) | "
            f"{', '.join(names[registry.name])} |"
        )
    text = (
        "# Registries\n\nA registry builds components of one kind from configs, and suggests the "
        "closest name when one is misspelt. Names of installed plugins are included.\n\n"
    )
    return text + "\n".join(rows) + "\n\n" + _directive(ComponentRegistry, "ComponentRegistry")


def _registry_names() -> dict[str, ComponentRegistry]:
    module = importlib.import_module("ovss.registry")
    names = {id(value): name for name, value in vars(module).items() if name.isupper()}
    return {names[id(registry)]: registry for registry in REGISTRIES}


def _components() -> str:
    parts = ["# Components\n\nOptions of the components of the core, by kind. Those of plugins are "
             "on the pages of their methods.\n"]  # fmt: skip
    for registry in REGISTRIES:
        own = [
            component_section(cls, registry.name)
            for each, _, cls in components()
            if each is registry and cls.__module__.startswith(f"{registry.package}.")
        ]
        kind = registry.name.capitalize()
        parts += [f"## {kind}{'es' if kind.endswith('s') else 's'}\n", *own]
    return "\n".join(parts)


def _protocols() -> str:
    parts = [
        "# Protocols\n\nFields of a protocol, the named ones, and how configs name them. [The "
        "guide](../protocols.md) explains them.\n"
    ]
    for name in _PROTOCOLS:
        module = importlib.import_module(f"ovss.{name}")
        parts.append(f"## `{module.__name__}`\n\n{summary(module)}\n")
        for public, value in vars(module).items():
            is_code = inspect.isclass(value) or inspect.isfunction(value)
            if is_code and value.__module__ == module.__name__ and not public.startswith("_"):
                parts.append(_directive(value, public, level=3))
    return "\n".join(parts)


def _index() -> str:
    pages = {name: "inference.md" for name in _INFERENCE} | {name: "models.md" for name in _MODELS}
    rows = ["| name | what it is |", "|---|---|"]
    for name in ovss.__all__:
        value = getattr(ovss, name)
        if name == "__version__":
            rows.append(f"| `ovss.{name}` | version of the package |")
        elif isinstance(value, ComponentRegistry):
            rows.append(f"| [`ovss.{name}`](registries.md) | registry of each {value.name} |")
        elif isinstance(value, int):
            rows.append(f"| `ovss.{name}` | label of pixels without a label, {value} |")
        else:
            page = pages.get(name) or (
                "interfaces.md" if value.__module__ == interfaces.__name__ else "records.md"
            )
            text = summary(value).replace("|", "\\|")
            rows.append(f"| [`ovss.{name}`]({page}#{place_of(value)}) | {text} |")
    text = (
        "# API reference\n\nPublic names of `ovss`, which are imported on first use. "
        "[Records](records.md), [interfaces](interfaces.md), [registries](registries.md), "
        "[components](components.md), [protocols](protocols.md) and [tests for your own "
        "methods](testing.md) have pages of their own.\n\n"
    )
    return text + "\n".join(rows) + "\n"
