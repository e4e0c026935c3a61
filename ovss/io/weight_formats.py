"""Format of a weights file, recognised by its content: file names of downloads are often wrong."""

from __future__ import annotations

import html
import re
from pathlib import Path

from .checkpoint_error import CheckpointError
from .excerpts import some_of
from .regular import open_regular
from .torchscript import is_torchscript, zip_members

__all__ = ["PICKLE", "SAFETENSORS", "TORCHSCRIPT", "weight_format"]

SAFETENSORS = "safetensors"
PICKLE = "pickle"
TORCHSCRIPT = "torchscript"

_HEAD = 4096
_LARGEST_HEADER = 100 << 20  # safetensors' own limit
_OTHERS = {
    b"\x1f\x8b": "a gzip archive. Unpack it and name the weights file in it",
    b"BZh": "a bzip2 archive. Unpack it and name the weights file in it",
    b"\xfd7zXZ": "an xz archive. Unpack it and name the weights file in it",
    b"7z\xbc\xaf": "a 7z archive. Unpack it and name the weights file in it",
    b"\x93NUMPY": "a NumPy array. Save the model's state dict with torch.save",
    b"\x89HDF": "an HDF5 file, as Keras writes. Save a state dict of PyTorch",
    b"GGUF": "a GGUF file. Save a state dict of PyTorch",
}
"""First bytes of files that are mistaken for weights, and the reason to print."""


def weight_format(path: str | Path) -> str:
    """Recognises the format of a weights file from its first bytes.

    Returns:
        `SAFETENSORS`, `PICKLE` (files of `torch.save`, old and new) or `TORCHSCRIPT`.

    Raises:
        CheckpointError: the file does not exist, is a folder, is empty, or is something else: a
            Git LFS pointer, a web page, another archive. The message says what to do.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a weights file. Name the file in it")
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is not a regular file. Give the path of a weights file")
    if not path.is_file():
        raise CheckpointError(f"The weights file {path} does not exist. Correct the path")
    with open_regular(path) as file:
        head = file.read(_HEAD)
    size = path.stat().st_size
    if head[:2] == b"PK":
        return _format_of_zip(path)
    if _is_safetensors(head):
        return SAFETENSORS
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:  # pickle protocol 2 to 5
        return PICKLE
    raise CheckpointError(f"{path} ({size:,} bytes) {_problem(head)}")


def _format_of_zip(path: Path) -> str:
    """Tells the zip archives of torch from others; a truncated one counts as torch's."""
    members = zip_members(path)
    if members is None:
        return PICKLE  # its reader reports the damage
    if is_torchscript(path):
        return TORCHSCRIPT
    if any(name.rpartition("/")[2] == "data.pkl" for name in members):
        return PICKLE
    raise CheckpointError(
        f"{path} is a zip archive of other files ({some_of(members, 3) or 'none'}), not "
        f"weights. Unpack it and name the weights file in it"
    )


def _is_safetensors(head: bytes) -> bool:
    """True if the head is the length of a JSON header, followed by the header."""
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and 2 <= length <= _LARGEST_HEADER


def _problem(head: bytes) -> str:
    """Rest of the sentence that says what a file is if it holds no weights."""
    if not head:
        return "is empty. Download or export it again"
    if head.startswith(b"version https://git-lfs"):
        size = re.search(rb"size (\d+)", head)
        real = f" of {int(size[1]):,} bytes" if size else ""
        return (
            f"is a pointer of Git LFS to the weights file{real}, not the file itself. Run "
            f"`git lfs pull` in its repository, or download the file from the repository's page"
        )
    for start, problem in _OTHERS.items():
        if head.startswith(start):
            return f"is {problem}"
    text = _as_text(head)
    if text is None:
        return (
            f"is truncated or not a weights file, because it begins with {head[:8]!r}. Download "
            f"or export it again"
        )
    if re.match(r"\s*(<\?xml|<!doctype|<!--|<html|<head)", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        named = f" titled {html.unescape(title[1]).strip()[:60]!r}" if title else ""
        return (
            f"is a web page{named}, not weights, because the server answered the download with a "
            f"page. Open the address in a browser, and download the file that it offers"
        )
    return f"is a text file that begins with {text.strip()[:60]!r}, not weights. Download it again"


def _as_text(head: bytes) -> str | None:
    """The head as text, without a character that its end cuts; None if it is binary."""
    try:
        text = head.decode("utf-8", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() or not re.search(r"[\x00-\x08\x0e-\x1f]", text) else None
