"""Write a plugin to begin with: package, config, tests, README and setup.

  ovss new-plugin my_method
  cd my_method && pip install -e . && pytest

It trains, segments and passes the suite as it is; nothing is ever written over.
"""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
import sys
import tempfile
from pathlib import Path

from ovss.models.configs import list_configs
from ovss.registry import REGISTRIES, register_all

SKELETON = Path(__file__).parent / "skeleton"
"""Files of a plugin, each with ``.txt`` at its end; ``module`` in their paths and ``@module@``,
``@name@`` and ``@Class@`` in their lines stand for the plugin's names."""

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def new_plugin(name: str, folder: str | Path = ".") -> list[Path]:
    """Write a new plugin.

    Args:
        name: lower-case letters, digits, and dashes or underscores between them. The package is
            called so with underscores, the distribution with dashes.
        folder: where the plugin's own folder, called `name`, is made.

    Returns:
        The files.

    Raises:
        ValueError: a name that cannot be used, or that something else has.
        FileExistsError: there is a file or folder of this name; nothing is ever written over.
    """
    module = _checked(name)
    target = Path(folder) / name
    if target.exists():
        raise FileExistsError(f"{target} is there already: choose another name or --dir")
    _check_free(module)
    target.parent.mkdir(parents=True, exist_ok=True)
    # all or nothing: made beside its place, then renamed into it
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
    """``my_method`` -> ``MyMethod``."""
    return "".join(word.capitalize() for word in module.split("_"))


def _checked(name: str) -> str:
    """The package's name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a plugin's name: lower-case letters and digits, a letter first, "
            f"with dashes or underscores between words, such as my_method"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise ValueError(f"{name!r} is a word of Python itself; try {name}_seg")
    return module


def _check_free(module: str) -> None:
    spec = importlib.util.find_spec(module)
    if spec is not None:
        place = spec.origin or next(iter(spec.submodule_search_locations or ()), "")
        raise ValueError(f"a package {module!r} is installed already ({place}); try ovss_{module}")
    if f"{module}_mini" in list_configs():
        raise ValueError(f"a config {module}_mini is there already; try my_{module}")
    register_all()
    decoder = f"{class_prefix(module)}Decoder"
    if any(decoder in registry.module_dict for registry in REGISTRIES):
        raise ValueError(f"a component {decoder} is there already; try my_{module}")


def _filled(template: str, module: str) -> str:
    names = {"@module@": module, "@name@": module.replace("_", "-")}
    names["@Class@"] = class_prefix(module)
    for placeholder, value in names.items():
        template = template.replace(placeholder, value)
    return template


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the plugin, such as my_method")
    parser.add_argument(
        "--dir", default=".", help="the folder in which its own is made (default: this one)"
    )


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ovss.models.plugins import load_available_plugins

    load_available_plugins()  # their names are taken
    for path in new_plugin(args.name, args.dir):
        print(path)
    print(f"\nnext: cd {Path(args.dir) / args.name} && pip install -e . && pytest")
    return 0
