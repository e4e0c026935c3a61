"""Writes `constraints.txt` and `docs/dependencies.md` from what is installed in this environment.

Run it in an environment in which the suite has passed:

    .venv/bin/python tools/dependencies.py

`constraints.txt` bounds every package from above by its tested version, `make setup` installs with
it, and a test compares both files with the environment. Parts of torch for one kind of machine
(CUDA libraries, triton) have no line, because torch states their exact versions itself.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
TABLE = ROOT / "docs" / "dependencies.md"
EXTRAS = (
    "",
    "coco",
    "export",
    "fonts",
    "label",
    "mlflow",
    "notebook",
    "ray",
    "superpixels",
    "supervision",
    "tensorboard",
    "video",
    "wandb",
    "web",
    "test",
    "lint",
    "docs",
)
"""Extras that are listed, in the order in which a package is assigned to one; ``""`` is none."""

_OF_TORCH = ("nvidia-", "cuda-", "triton")
_LICENSE_WIDTH = 60

_HEADER = (
    "| package | version, Python {python} | license | for | required by |\n|---|---|---|---|---|\n"
)


@dataclass
class Dependency:
    """Installed package that ovss needs, directly or through others.

    Args:
        name: name as its metadata spells it.
        version: installed version.
        license: license as its metadata states it, or where to find it.
        extra: first of `EXTRAS` that needs it.
        required_by: names of the packages that require it.
    """

    name: str
    version: str
    license: str
    extra: str
    required_by: set[str] = field(default_factory=set)


def find_dependencies() -> dict[str, Dependency]:
    """Canonical name -> package, for everything that the installed ovss requires here.

    Raises:
        PackageNotFoundError: a requirement of ovss is not installed.
    """
    found: dict[str, Dependency] = {}
    for extra in EXTRAS:
        todo = [("ovss", extra)]
        seen = set(todo)
        while todo:
            parent, chosen = todo.pop()
            for each in _requirements(parent, chosen):
                name = canonicalize_name(each.name)
                if name.startswith(_OF_TORCH):
                    continue
                todo += [(name, e) for e in ("", *each.extras) if (name, e) not in seen]
                seen |= {(name, e) for e in ("", *each.extras)}
                if name == "ovss":
                    continue
                if name not in found:
                    part = distribution(name)
                    found[name] = Dependency(
                        part.metadata["Name"], part.version, _license(part), extra
                    )
                found[name].required_by.add(parent)
    return dict(sorted(found.items()))


def _requirements(parent: str, extra: str) -> list[Requirement]:
    """Requirements of a package on this machine that `extra` adds, or those without an extra."""
    try:
        lines = distribution(parent).requires or []
    except PackageNotFoundError:
        raise PackageNotFoundError(f"{parent} is not installed. Run `make setup`") from None
    kept = []
    for line in map(Requirement, lines):
        is_plain = line.marker is None or line.marker.evaluate({"extra": ""})
        is_chosen = line.marker is None or line.marker.evaluate({"extra": extra})
        if is_chosen and (is_plain is (extra == "")):
            kept.append(line)
    return kept


def _license(part: Distribution) -> str:
    """License of a package: its expression, its short text, or its classifiers."""
    data = part.metadata
    for text in (data.get("License-Expression"), data.get("License")):
        if text and len(text) <= _LICENSE_WIDTH and "\n" not in text and text.upper() != "UNKNOWN":
            return text
    kinds = [line for line in data.get_all("Classifier") or [] if line.startswith("License ::")]
    names = [line.rpartition(" :: ")[2] for line in kinds]
    return ", ".join(names) or "see its LICENSE file"


def constraint_lines(found: dict[str, Dependency]) -> str:
    """Content of `constraints.txt`."""
    lines = ["# The newest versions that were tested; tools/dependencies.py writes this file."]
    lines += [f"{name} <= {each.version}" for name, each in found.items()]
    return "\n".join(lines) + "\n"


def table_page(found: dict[str, Dependency], before: str) -> str:
    """Content of `docs/dependencies.md`: the text of the page `before`, and a new table."""
    python = ".".join(map(str, sys.version_info[:2]))
    rows = (
        f"| {each.name} | {each.version} | {each.license.replace('|', '/')} "
        f"| {each.extra or 'every installation'} | {', '.join(sorted(each.required_by))} |\n"
        for each in found.values()
    )
    text = before.partition("| package |")[0]
    return text + _HEADER.format(python=python) + "".join(rows)


def main() -> None:
    """Writes both files."""
    found = find_dependencies()
    CONSTRAINTS.write_text(constraint_lines(found), encoding="utf-8")
    TABLE.write_text(table_page(found, TABLE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{len(found)} packages: {CONSTRAINTS.name}, {TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
