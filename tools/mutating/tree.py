"""Copy of the repository in which tests run with one file changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CAUGHT, PASSED, TIMED_OUT, BROKEN = "caught", "passed", "timed out", "tests could not run"
PACKAGES = {"ovss": "ovss", "ovss_plugins": "plugins", "ovss_configs": "configs"}
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_OPTIONS = ("-rfE", "--tb=no", "-p", "no:cacheprovider")
_SKIPPED = ("*.pyc", ".git", ".venv", "__pycache__", "*.egg-info", "build", "dist")


@dataclass(frozen=True)
class Tree:
    """A copy of the repository, with the packages importable under their installed names.

    Args:
        folder: folder of the copy.
        links: folder with the package names that differ from folder names.
        server: process that runs the tests, see `server`.
    """

    folder: Path
    links: Path
    server: subprocess.Popen[str]

    @classmethod
    def copy(cls, root: Path, place: Path) -> Tree:
        """Copies what git tracks, and new files that it does not ignore.

        Raises:
            RuntimeError: Python would import the packages from elsewhere.
        """
        folder, links = place / "repository", place / "links"
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-coz", "--exclude-standard"],
            capture_output=True,
            check=False,
        )
        if listed.returncode == 0:
            for name in filter(None, listed.stdout.decode().split("\0")):
                if (root / name).is_file():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(root / name, folder / name)
        else:
            shutil.copytree(root, folder, ignore=shutil.ignore_patterns(*_SKIPPED))
        links.mkdir()
        for package, name in PACKAGES.items():
            if package != name:
                (links / package).symlink_to(folder / name, target_is_directory=True)
        environment = _environment(folder, links, root.parent / "shared")
        _check_imports(folder, environment)
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return cls(folder, links, server)

    def read(self, name: str) -> str:
        """Text of a file of the copy."""
        return (self.folder / name).read_text(encoding="utf-8")

    @contextmanager
    def changed(self, name: str, source: str) -> Iterator[None]:
        """Context in which a file of the copy has another content."""
        path = self.folder / name
        original, status = path.read_bytes(), path.stat()
        path.write_text(source, encoding="utf-8")
        # Bytecode is reused for a file of the same size and second of modification.
        later = status.st_mtime_ns + (1 + hash(source) % 10**6) * 10**9
        os.utime(path, ns=(status.st_atime_ns, later))
        try:
            yield
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def run_tests(self, tests: Sequence[str], seconds: float) -> tuple[str, str]:
        """Runs tests until the first one fails; returns a status, and the test or the reason."""
        code, text = self._pytest(["-x", *tests], seconds)
        if code is None:
            return TIMED_OUT, ""
        if code == 0:
            return PASSED, ""
        failed = _FAILED.search(text)
        if code in (1, 2) and failed:
            return CAUGHT, failed[1]
        lines = text.strip().splitlines() or [f"exit status {code}"]
        return BROKEN, lines[-1]

    def failing_tests(self, tests: Sequence[str], seconds: float) -> set[str]:
        """Tests that fail on the copy as it is; all of them if they cannot run in time."""
        code, text = self._pytest(list(tests), seconds)
        if code == 0:
            return set()
        return set(_FAILED.findall(text)) if code == 1 else set(tests)

    def _pytest(self, arguments: list[str], seconds: float) -> tuple[int | None, str]:
        """Exit status (None after the time limit) and output of pytest."""
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as own:
            output = Path(own) / "output"
            request = {
                "arguments": [*_OPTIONS, f"--basetemp={own}/tests", *arguments],
                "output": str(output),
                "folder": own,
                "seconds": seconds,
            }
            assert self.server.stdin is not None
            assert self.server.stdout is not None
            self.server.stdin.write(json.dumps(request) + "\n")
            self.server.stdin.flush()
            line = self.server.stdout.readline()
            if not line:
                raise RuntimeError(f"The test process in {self.folder} has ended. Start again")
            text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
            return json.loads(line), text

    def close(self) -> None:
        """Ends the process that runs the tests."""
        self.server.terminate()
        self.server.wait()


def _environment(folder: Path, links: Path, shared: Path) -> dict[str, str]:
    """Environment in which the packages are those of the copy."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{links}"}
    environment["COLUMNS"] = "1000"  # long names of tests are not cut off
    if shared.is_dir():
        environment.setdefault("OVSS_SHARED_DATA", str(shared))
    return environment


def _check_imports(folder: Path, environment: dict[str, str]) -> None:
    """Raises RuntimeError if Python would import the packages from elsewhere."""
    code = (
        "import importlib.util as u, sys\n"
        "for name in sys.argv[1:]: print(next(iter(u.find_spec(name).submodule_search_locations)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *PACKAGES],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    wrong = [path for path in found if folder.resolve() not in Path(path).resolve().parents]
    if wrong:
        raise RuntimeError(f"Python imports {wrong[0]} instead of the copy in {folder}")
