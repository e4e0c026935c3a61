"""Working directories of trainings and evaluations that are continued after damage."""

from __future__ import annotations

import io
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .cases import ACCEPTED, EITHER, REFUSED, Box, Call, Group
from .odd import VALUES, as_json, damaged, places_of, with_value
from .weights import Payload

RESUMING = Group("resuming")

CHANGING = ("wd/*",)
"""A training that continues appends to its files."""


def _run(box: Box) -> Path:
    box.write("train.py", (box.base / "train.py").read_bytes())
    shutil.copytree(box.base / "run", box.folder / "wd")
    for path in (box.folder / "wd").glob("*/"):
        if path.is_dir():
            shutil.rmtree(path)
    box.write("wd/last_checkpoint", "iter_1.pth")
    return box.folder / "wd"


def _call(statuses: frozenset[int] = REFUSED, *names: str, resume: tuple[str, ...] = ()) -> Call:
    flags = ("--work-dir", "wd", "--resume", *resume)
    return Call(("train", "train.py", *flags), statuses, names, may_change=CHANGING)


@RESUMING
def good(box: Box) -> Call:
    _run(box)
    return _call(ACCEPTED)


@RESUMING.each(
    [
        b"", b"\n", b"absent.pth", b"\0", b"\xff\xfe", b"/", b"..", b"iter_1.pth\niter_2.pth\n",
        b"wd",
        b"x" * 5000, b"/etc/passwd", b"curve.jsonl", b"\x1b[31m", b"iter_1.pth\0",
        b" iter_1.pth \n",
    ]
)  # fmt: skip
def pointer(box: Box, content: bytes) -> Call:
    _run(box)
    box.write("wd/last_checkpoint", content)
    return _call(EITHER)


@RESUMING.each(["folder", "fifo", "loop"])
def pointer_of_another_kind(box: Box, kind: str) -> Call:
    path = _run(box) / "last_checkpoint"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        import os

        os.mkfifo(path)
    else:
        path.symlink_to(path.name)
    return _call(EITHER)


@RESUMING.each(
    [b"", b"\n\n", b"{", b"null\n", b"3\n", b"[]\n", b"\xff\n", b"\0\n", b'{"iter": "x"}\n',
     b'{"iter": NaN}\n', b'{"iter": -1}\n', b'{"loss": 1}\n', b'{"iter": 1, "loss": 1}\n{"iter"',
     b'{"iter": true}\n', b'{"iter": 1e999}\n', b"[" * 20_000]
)  # fmt: skip
def curve(box: Box, content: bytes) -> Call:
    _run(box)
    box.write("wd/curve.jsonl", content)
    return _call(EITHER)


@RESUMING.each(range(6))
def damaged_checkpoint(box: Box, _: int) -> Call:
    path = _run(box) / "iter_1.pth"
    path.write_bytes(damaged(path.read_bytes(), box.random))
    return _call(EITHER, "iter_1.pth")


@RESUMING.each(
    [b"", b"\0", b"text", b"\x80\x02.", b"PK\5\6" + bytes(18), b"cos\nsystem\n(S'x'\ntR."]
)
def other_checkpoint(box: Box, content: bytes) -> Call:
    (_run(box) / "iter_1.pth").write_bytes(content)
    return _call(REFUSED, "iter_1.pth")


def _content(box: Box) -> dict[str, Any]:
    return torch.load(box.base / "run/iter_1.pth", map_location="cpu", weights_only=False)


def _saved(box: Box, content: Any) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    (_run(box) / "iter_1.pth").write_bytes(buffer.getvalue())


@RESUMING.each(["meta", "state_dict", "optimizer", "param_schedulers", "message_hub"])
def part_of_a_checkpoint(box: Box, part: str) -> Call:
    content = _content(box)
    if box.random.random() < 0.5:
        content.pop(part, None)
    else:
        content[part] = box.random.choice(VALUES[:20])
    _saved(box, content)
    return _call(EITHER, "iter_1.pth")


@RESUMING.each(["cfg", "seed", "iter", "epoch", "experiment_name", "dataset_meta", "time"])
def note_of_a_checkpoint(box: Box, key: str) -> Call:
    content = _content(box)
    if box.random.random() < 0.3:
        content["meta"].pop(key, None)
    else:
        content["meta"][key] = box.random.choice(VALUES[:20])
    _saved(box, content)
    return _call(EITHER, "iter_1.pth")


@RESUMING.each(["nan", "shape", "missing", "extra"])
def tensors_of_a_checkpoint(box: Box, kind: str) -> Call:
    content = _content(box)
    state = content["state_dict"]
    name = next(key for key, value in state.items() if value.is_floating_point() and value.ndim)
    if kind == "nan":
        state[name] = torch.full_like(state[name], float("nan"))
    elif kind == "shape":
        state[name] = state[name][None]
    elif kind == "missing":
        del state[name]
    else:
        state["extra"] = torch.ones(1)
    _saved(box, content)
    return _call(REFUSED, "iter_1.pth")


@RESUMING
def code_in_a_checkpoint(box: Box) -> Call:
    _saved(box, {**_content(box), "message_hub": Payload()})
    return _call(REFUSED, "iter_1.pth")


@RESUMING
def an_absent_checkpoint(box: Box) -> Call:
    _run(box)
    return _call(REFUSED, "absent.pth", resume=("absent.pth",))


STATE = ("damage", "format", "pictures", "done", "counts", "seconds", "started")


def same_metrics(recorded: Path, folder: Path) -> str:
    """Problem text if the metrics of `r.json` are not those of an undisturbed evaluation."""
    before, after = (json.loads(path.read_text()) for path in (recorded, folder / "r.json"))
    return "" if before["metrics"] == after["metrics"] else "damaged counts were merged"


@RESUMING.each(enumerate([*STATE, "counts", "counts"]))
def state_of_an_evaluation(box: Box, entry: tuple[int, str]) -> Call:
    """An evaluation that continues from counts that are damaged: they are made again or refused."""
    key = entry[1]
    for name in ("train.py", "run/weights.safetensors"):
        box.write(name, (box.base / name).read_bytes())
    (source,) = (box.base / "test/evaluation").glob("*/session-*.json")
    text = source.read_text()
    if key == "damage":
        text = damaged(text.encode(), box.random).decode("latin-1")
    else:
        content = json.loads(text)
        places = [place for place in places_of(content[key], (key,))]
        text = as_json(with_value(content, box.random.choice(places), box.random.choice(VALUES)))
    box.write(f"wt/evaluation/{source.parent.name}/{source.name}", text)
    flags = ("--work-dir", "wt", "--resume", "--out", "r.json")
    check = partial(same_metrics, box.base / "result.json")
    command = ("test", "train.py", "run/weights.safetensors", *flags)
    return Call(command, EITHER, may_change=("wt/*",), absent=("r.json",), check=check)
