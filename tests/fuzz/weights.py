"""Weight files: safetensors, pickles, archives and others, for every command that reads one."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load, save

from .cases import DENIED, EITHER, REFUSED, Box, Call, Group
from .images import encoded, image_of
from .material import read_base
from .odd import VALUES, as_json, damaged

WEIGHTS = Group("weights", weight=2)
READERS = ("segment", "segment pretrained", "test", "convert", "publish", "load_from")


class Payload:
    """Pickled object that would write the file `canary` when it is read."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (exec, ("open('canary', 'w').close()",))


def _read(box: Box, name: str, statuses: frozenset[int] = REFUSED, reader: str = "") -> Call:
    """A command line that reads a weights file."""
    reader = reader or box.random.choice(READERS)
    names, absent = (name,), ("new.safetensors", "r.json")
    for file in ("clip.py", "train.py"):
        box.write(file, read_base(box.base / file))
    if reader == "publish":
        return Call(("publish", name, "new.safetensors"), statuses, names, (), absent)
    if reader == "convert":
        method = box.random.choice(("cat_seg", "sed", "clip"))
        more = ("--model", "ViT-B-16-quickgelu") if method == "clip" else ()
        return Call(("convert", method, name, "new.safetensors", *more), DENIED, names, (), absent)
    if reader == "test":
        return Call(("test", "train.py", name, "--out", "r.json"), statuses, names, (), absent)
    if reader == "load_from":
        options = ("--work-dir", "wd", "--cfg-options", f"load_from={name}")
        return Call(("train", "train.py", *options), statuses, names)
    box.write("a.png", encoded(image_of("RGB"), "PNG"))
    flag = "--pretrained" if "pretrained" in reader else "--weights"
    words = ("--words", "cat, dog", "--device", "cpu", "--out", "out")
    return Call(("segment", "a.png", *words, "--model", "clip.py", flag, name), statuses, names)


def _trained(box: Box) -> bytes:
    return read_base(box.base / "run/weights.safetensors")


def _header(content: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def _with_header(header: Any, data: bytes, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else as_json(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


@WEIGHTS.each(READERS)
def cut(box: Box, reader: str) -> Call:
    content = _trained(box)
    end = box.random.choice((0, 3, 8, 50, len(content) // 2, len(content) - 1))
    box.write("cut.safetensors", content[:end])
    return _read(box, "cut.safetensors", REFUSED, reader)


@WEIGHTS.each([0, 1, 7, 2**31, 2**63, 2**64 - 1])
def size_of_the_header(box: Box, size: int) -> Call:
    header, data = _header(_trained(box))
    box.write("size.safetensors", _with_header(header, data, size))
    return _read(box, "size.safetensors")


@WEIGHTS.each([b"", b"{", b"[]", b"null", b'{"a": 1}', b"\xff\xff", b'{"a": {}}', b" " * 40])
def header_text(box: Box, header: bytes) -> Call:
    box.write("text.safetensors", _with_header(header, b"\0" * 16))
    return _read(box, "text.safetensors")


@WEIGHTS.each(
    [
        ("dtype", "F32X"), ("dtype", 3), ("dtype", "I64"), ("dtype", "BOOL"), ("dtype", "F8_E4M3"),
        ("shape", [-1]), ("shape", [2**62, 4]), ("shape", "x"), ("shape", [1.5]), ("shape", []),
        ("data_offsets", [0, 10**12]), ("data_offsets", [8, 0]), ("data_offsets", [0]),
        ("data_offsets", [-4, 0]), ("data_offsets", None), ("shape", [[1]]),
    ]
)  # fmt: skip
def entry_of_the_header(box: Box, change: tuple[str, Any]) -> Call:
    header, data = _header(_trained(box))
    name = box.random.choice([key for key in header if key != "__metadata__"])
    header[name][change[0]] = change[1]
    box.write("entry.safetensors", _with_header(header, data))
    return _read(box, "entry.safetensors", EITHER)


@WEIGHTS.each(
    [
        ("partial_expects", "not json"), ("partial_expects", "3"), ("partial_expects", "null"),
        ("partial_expects", '{"a": 1}'), ("partial_expects", "[1, null]"), ("partial_expects", "["),
        ("partial_expects", '["absent"]'), ("partial_expects", "[[]]"), ("method", "\x1b[31m"),
        ("partial_fingerprint", "0"), ("base", "x" * 5000), ("config", "\n\n"),
        ("partial_expects", "[" * 5000),
    ]
)  # fmt: skip
def notes(box: Box, note: tuple[str, str]) -> Call:
    header, data = _header(_trained(box))
    header["__metadata__"] = {**header.get("__metadata__", {}), note[0]: note[1]}
    box.write("notes.safetensors", _with_header(header, data))
    return _read(
        box, "notes.safetensors", EITHER, box.random.choice(("test", "publish", "segment"))
    )


@WEIGHTS.each(VALUES[:12])
def metadata(box: Box, value: object) -> Call:
    header, data = _header(_trained(box))
    header["__metadata__"] = value if box.random.random() < 0.5 else {"method": value}
    box.write("meta.safetensors", _with_header(header, data))
    return _read(box, "meta.safetensors", EITHER, box.random.choice(("test", "publish")))


@WEIGHTS.each(["nan", "inf", "missing", "extra", "integers", "shape", "empty", "half", "scalar"])
def tensors(box: Box, kind: str) -> Call:
    state = load(_trained(box))
    name = box.random.choice([key for key, value in state.items() if value.is_floating_point()])
    if kind in ("nan", "inf"):
        state[name].view(-1)[0] = float(kind)
    elif kind == "missing":
        del state[name]
    elif kind == "extra":
        state["extra.weight"] = torch.ones(2)
    elif kind == "empty":
        state = {}
    else:
        value = state[name]
        scalar = torch.tensor(1.0)
        changed = {"integers": value.long(), "shape": value[None], "half": value.half()}
        state[name] = {**changed, "scalar": scalar}[kind]
    box.write("changed.safetensors", save(state))
    statuses = EITHER if kind == "half" else REFUSED
    return _read(box, "changed.safetensors", statuses, "test")


def _pickled(value: Any, how: str) -> bytes:
    if how == "pickle":
        return pickle.dumps(value)
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=how == "zip")
    return buffer.getvalue()


@WEIGHTS.each([(reader, how) for reader in READERS for how in ("pickle", "zip", "legacy")])
def code_in_a_pickle(box: Box, pair: tuple[str, str]) -> Call:
    name = box.random.choice(("code.pth", "code.pt", "code.safetensors", "code.bin", "code.ckpt"))
    box.write(name, _pickled({"state_dict": {"a": torch.ones(2), "b": Payload()}}, pair[1]))
    return _read(box, name, REFUSED, pair[0])


@WEIGHTS.each(
    [
        None, 3, "text", [], {}, (), [torch.ones(1)], torch.ones(2), {"a": 1}, {1: torch.ones(2)},
        {"state_dict": None}, {"state_dict": []}, {"state_dict": {"a": None}}, {"model": {}},
        {"state_dict": {"state_dict": {"model": {"a": torch.ones(1)}}}}, {None: None}, {"a": {}},
        {"module.module.a": torch.ones(1)}, {"a": torch.ones(1).to_sparse()}, {"a": [1, 2]},
        {"a": torch.ones(2, dtype=torch.complex64)}, {"a": torch.empty(2, device="meta")},
        {"": torch.ones(1)}, {"a" * 5000: torch.ones(1)}, {"a\n\x1b[31m": torch.ones(1)},
    ]
)  # fmt: skip
def other_content(box: Box, value: Any) -> Call:
    box.write("other.pth", _pickled(value, box.random.choice(("zip", "legacy"))))
    return _read(box, "other.pth", EITHER)


@WEIGHTS.each(range(14))
def damaged_weights(box: Box, number: int) -> Call:
    source = ("run/weights.safetensors", "small.pth", "run/iter_1.pth")[number % 3]
    content = damaged(read_base(box.base / source), box.random)
    name = "damaged." + source.rpartition(".")[2]
    box.write(name, content)
    return _read(box, name, EITHER, box.random.choice(("publish", "test", "convert")))


@WEIGHTS.each(
    [
        b"", b"\0", b"text", b"<html></html>", b"version https://git-lfs.github.com/spec/v1\n",
        b"\x89PNG\r\n\x1a\n", b"\x80\x02.", b"\x80\x02}q\0.", b"PK\5\6" + bytes(18), b"\x80",
        bytes(64),
        b"{}", b"\x1f\x8b\x08\0", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY\1\0",
        b"cos\nsystem\n(S'x'\ntR.",
    ]
)  # fmt: skip
def not_weights(box: Box, content: bytes) -> Call:
    name = box.random.choice(("w.pth", "w.safetensors", "w.pt", "w"))
    box.write(name, content)
    return _read(box, name)


@WEIGHTS.each(["empty", "other", "no data", "script", "twice"])
def archive(box: Box, kind: str) -> Call:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        if kind == "other":
            file.writestr("readme.txt", "text")
        elif kind in ("no data", "twice"):
            file.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
            if kind == "twice":
                file.writestr("other/data.pkl", pickle.dumps({"a": 1}))
        elif kind == "script":
            file.writestr("m/data.pkl", b"\x80\x02}.")
            file.writestr("m/code/__torch__.py", "import os")
            file.writestr("m/constants.pkl", b"\x80\x02).")
    box.write("archive.pt", buffer.getvalue())
    return _read(box, "archive.pt")
