"""Builds the source distribution and the wheel into `dist`, and checks their contents.

    .venv/bin/python tools/build_dist.py

Both are made from a copy of the files that git knows, or will know, so that outputs and caches of
the checkout stay out. The wheel is built from the source distribution. Nothing is downloaded: the
setuptools of this environment is used.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path, PurePosixPath

from packaging.metadata import Metadata

ROOT = Path(__file__).resolve().parent.parent
_IGNORED = shutil.ignore_patterns(
    *("__pycache__", "*.egg-info", ".git", ".venv*", "build", "dist", "outputs", "work_dirs"),
    ".*_cache",
)
_BUILD = """
import sys
import setuptools.build_meta as backend
print(getattr(backend, "build_" + sys.argv[1])(sys.argv[2]))
"""
PACKAGES = ("ovss", "ovss_plugins", "ovss_configs")
WHEEL_KINDS = {".typed": (), ".py": (), ".json": (), ".txt": (), ".safetensors": (),
               ".md": ("ovss/vocabularies/NOTICE.md",), ".css": (), ".js": (),
               ".html": ("ovss/report/templates/report.html",)}  # fmt: skip
"""Endings of the files of the wheel, and where one ending is for few files, these."""
SDIST_PARTS = ("ovss", "plugins", "configs", "tests", "docs", "tools", "examples", "benchmarks",
               ".ci", ".github", "Makefile", "Dockerfile", "LICENSE", "CHANGELOG.md", "README.md",
               "CITATION.cff", "mkdocs.yml", "pyproject.toml", "setup.cfg")  # fmt: skip
_TEXT = (".py", ".json", ".txt", ".md", ".css", ".js", ".html", ".cfg", ".toml", ".yml", ".sh", "")


def copy_sources(root: Path, target: Path) -> None:
    """Copies the files that git tracks or would track; without git, all but outputs and caches."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if done.returncode:
        shutil.copytree(root, target, ignore=_IGNORED)
        return
    for name in sorted(filter(None, done.stdout.decode().split("\0"))):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def build_part(kind: str, source: Path, out: Path) -> Path:
    """Builds ``sdist`` or ``wheel`` of a folder and returns the file."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _BUILD, kind, str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {kind} of {source} failed:\n{done.stdout}{done.stderr}")
    return out / done.stdout.strip().splitlines()[-1]


def build_both(root: Path, out: Path, scratch: Path) -> tuple[Path, Path]:
    """Source distribution and wheel of a checkout; the wheel is built from the former."""
    copy_sources(root, scratch / "tree")
    sdist = build_part("sdist", scratch / "tree", out)
    return sdist, build_part("wheel", unpacked(sdist, scratch / "unpacked"), out)


def unpacked(sdist: Path, folder: Path) -> Path:
    """Unpacks a source distribution and returns its folder."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (inner,) = folder.iterdir()
    return inner


def wheel_files(wheel: Path) -> dict[str, bytes]:
    """Content of each file of a wheel, by path."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sdist_files(sdist: Path) -> dict[str, bytes]:
    """Content of each file of a source distribution, by its path in the project."""
    files = {}
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            if content is not None:
                files[member.name.partition("/")[2]] = content.read()
    return files


def problems(sdist: Path, wheel: Path, root: Path) -> list[str]:
    """What is wrong with the contents; empty if nothing is."""
    inside, source = wheel_files(wheel), sdist_files(sdist)
    return [
        *_stray_in_wheel(inside),
        *_missing_in_wheel(inside, root),
        *(f"sdist lacks {part}" for part in SDIST_PARTS
          if not any(name == part or name.startswith(f"{part}/") for name in source)),
        *_machine_paths(inside | source, root),
        *_metadata_problems(inside, root),
    ]  # fmt: skip


def _is_wanted(path: PurePosixPath) -> bool:
    few = WHEEL_KINDS.get(path.suffix)
    return few is not None and (not few or str(path) in few)


def _stray_in_wheel(inside: dict[str, bytes]) -> Iterator[str]:
    for name in inside:
        top, path = name.partition("/")[0], PurePosixPath(name)
        if top.endswith(".dist-info"):
            continue
        hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
        if top not in PACKAGES or not _is_wanted(path) or hidden:
            yield f"wheel has the stray file {name}"


def _missing_in_wheel(inside: dict[str, bytes], root: Path) -> Iterator[str]:
    folders = {"ovss": "ovss", "plugins": "ovss_plugins", "configs": "ovss_configs"}
    for folder, package in folders.items():
        for path in sorted((root / folder).rglob("*")):
            place = PurePosixPath(package) / path.relative_to(root / folder).as_posix()
            is_hidden = any(part.startswith((".", "__pycache__")) for part in place.parts)
            is_wanted = path.is_file() and _is_wanted(place) and not is_hidden
            if is_wanted and str(place) not in inside:
                yield f"wheel lacks {place}"


def _machine_paths(files: dict[str, bytes], root: Path) -> Iterator[str]:
    places = {str(root), str(Path.home()) + "/"} - {"/"}
    machine = re.compile("|".join(re.escape(place) for place in sorted(places)).encode())
    for name, content in files.items():
        if PurePosixPath(name).suffix in _TEXT and (found := machine.search(content)):
            yield f"{name} names a path of this machine: {found.group().decode()}"


def _metadata_problems(inside: dict[str, bytes], root: Path) -> Iterator[str]:
    (name,) = (name for name in inside if name.endswith(".dist-info/METADATA"))
    text = inside[name].decode("utf-8")
    Metadata.from_email(text, validate=True)  # raises what is wrong
    message = message_from_string(text)
    if message["Description-Content-Type"] != "text/markdown":
        yield "the description is not marked as Markdown"
    readme = (root / "README.md").read_text(encoding="utf-8").strip()
    if str(message.get_payload()).strip() != readme:
        yield "the description is not the README"


def main() -> None:
    """Builds both files."""
    out = ROOT / "dist"
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        sdist, wheel = build_both(ROOT, out, Path(scratch))
    wrong = problems(sdist, wheel, ROOT)
    for path in (sdist, wheel):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 2**20:.1f} MiB")
    if wrong:
        raise SystemExit("\n".join(f"error: {line}" for line in wrong))


if __name__ == "__main__":
    main()
