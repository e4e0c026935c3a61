"""Write a new plugin: package, config, tests, README and project file.

  ovss new-plugin my_method
  cd my_method && pip install -e . && pytest

The plugin trains, segments and passes its tests. Existing files are never overwritten.
"""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
import sys
import tempfile
from pathlib import Path

SKELETON = Path(__file__).parent / "skeleton"
"""Folder of the plugin's files, each with the suffix ``.txt``. Placeholders for the names are
``module`` in paths, and ``@module@``, ``@name@`` and ``@Class@`` in lines."""

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def new_plugin(name: str, folder: str | Path = ".") -> list[Path]:
    """Writes a new plugin, whole or not at all.

    Args:
        name: lower-case letters and digits, with dashes or underscores between them. The package
            has underscores in its name, the distribution dashes.
        folder: parent of the plugin's folder, which is named `name`.

    Returns:
        Paths of the files.

    Raises:
        ValueError: the name is invalid or already used.
        FileExistsError: a file or folder of this name exists; it is left unchanged.
    """
    module = _checked(name)
    target = Path(folder) / name
    if target.exists():
        raise FileExistsError(f"{target} exists. Choose another name or --dir")
    _check_free(module)
    target.parent.mkdir(parents=True, exist_ok=True)
    # all or nothing: written in the same folder under a temporary name, then renamed
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as temporary:
        made = Path(temporary) / "plugin"
        for template in sorted(SKELETON.rglob("*.txt")):
            inside = template.relative_to(SKELETON).as_posix().removesuffix(".txt")
            path = made / inside.replace("module", module)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(template.read_text(encoding="utf-8"), module), encoding="utf-8")
        made.rename(target)
    return sorted(path for path in target.rglob("*") if path.is_file())


def class_prefix(module: str) -> str:
    """Prefix of class names: ``my_method`` gives ``MyMethod``."""
    return "".join(word.capitalize() for word in module.split("_"))


def _checked(name: str) -> str:
    """Name of the package; an invalid `name` raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"A plugin's name has lower-case letters and digits, starts with a letter, and has "
            f"dashes or underscores between parts, got {name!r}. Use a name such as my_method"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise ValueError(f"{name!r} is a name of Python itself. Use {name}_seg")
    return module


def _check_free(module: str) -> None:
    from ovss.models.configs import list_configs
    from ovss.registry import REGISTRIES, register_all

    spec = importlib.util.find_spec(module)
    if spec is not None:
        place = spec.origin or next(iter(spec.submodule_search_locations or ()), "")
        raise ValueError(
            f"The package {module!r} is already installed ({place}). Use ovss_{module}"
        )
    if f"{module}_mini" in list_configs():
        raise ValueError(f"The config {module}_mini already exists. Use my_{module}")
    register_all()
    decoder = f"{class_prefix(module)}Decoder"
    if any(decoder in registry.module_dict for registry in REGISTRIES):
        raise ValueError(f"The component {decoder} already exists. Use my_{module}")


def _filled(template: str, module: str) -> str:
    names = {"@module@": module, "@name@": module.replace("_", "-")}
    names["@Class@"] = class_prefix(module)
    for placeholder, value in names.items():
        template = template.replace(placeholder, value)
    return template


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the command."""
    parser.add_argument("name", metavar="NAME", help="name of the plugin, such as my_method")
    parser.add_argument(
        "--dir", default=".", help="parent of the plugin's folder (default: current folder)"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the plugin and prints its files; exit status 0."""
    from ovss.models.plugins import load_available_plugins

    load_available_plugins()  # so that their names count as used
    for path in new_plugin(args.name, args.dir):
        print(path)
    print(f"\nnext: cd {Path(args.dir) / args.name} && pip install -e . && pytest")
    return 0
