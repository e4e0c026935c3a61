"""Paths: special files, links, odd names, and places that cannot be written."""

from __future__ import annotations

import os

from .cases import ACCEPTED, ANYTHING, DENIED, EITHER, REFUSED, Box, Call, Group
from .images import encoded, image_of
from .material import SEGMENT
from .odd import TEXTS

PATHS = Group("paths")
KINDS = ("fifo", "device", "folder", "empty folder", "loop", "dangling", "absent", "socket")
SUBJECTS = {
    "image": ("segment", "{odd}", *SEGMENT),
    "words": ("segment", "a.png", "--words-file", "{odd}", *SEGMENT[2:]),
    "vocabulary": ("segment", "a.png", "--vocabulary", "{odd}", *SEGMENT[2:]),
    "config": ("config", "{odd}"),
    "model": ("segment", "a.png", *SEGMENT, "--model", "{odd}"),
    "weights": ("segment", "a.png", *SEGMENT, "--weights", "{odd}"),
    "result": ("table", "{odd}"),
    "reproduced": ("reproduce", "{odd}"),
    "data": ("test", "train.py", "none", "--data", "{odd}", "--work-dir", "wd"),
    "source": ("prepare", "cityscapes", "--source", "{odd}", "--out", "prepared", "--quiet"),
    "converted": ("convert", "cat_seg", "{odd}", "new.safetensors"),
    "published": ("publish", "{odd}", "new.safetensors"),
    "saved": ("save", "{odd}", "new_model"),
    "trained": ("train", "{odd}", "--work-dir", "wd"),
    "resumed": ("train", "train.py", "--work-dir", "wd", "--resume", "{odd}"),
    "checked": ("prepare", "--check", "{odd}"),
}
"""Command lines that read a path."""

OUTPUTS = {
    "out": ("segment", "a.png", *SEGMENT[:-1], "{odd}"),
    "markdown": ("table", "result.json", "--markdown", "{odd}"),
    "html": ("table", "result.json", "--html", "{odd}"),
    "result": ("test", "train.py", "none", "--work-dir", "wd", "--out", "{odd}"),
    "work_dir": ("train", "train.py", "--work-dir", "{odd}"),
    "plugin": ("new-plugin", "my_new_method", "--dir", "{odd}"),
    "weights": ("publish", "run.safetensors", "{odd}"),
    "saved": ("save", "fast.py", "{odd}", "--weights", "none"),
}
"""Command lines that write to a path."""


def _material(box: Box) -> None:
    for name in ("fast.py", "train.py", "result.json"):
        box.write(name, (box.base / name).read_bytes())
    box.write("run.safetensors", (box.base / "run/weights.safetensors").read_bytes())
    box.write("a.png", encoded(image_of("RGB"), "PNG"))


def _special(box: Box, kind: str, ending: str = "") -> str:
    """Makes a special file and returns its name."""
    path = box.folder / f"odd{ending}"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero" if ending else "/dev/null")
    elif "folder" in kind:
        path.mkdir()
        if kind == "folder":
            (path / "inside").write_bytes(b"\0")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "socket":
        os.mknod(path, 0o140600)
    return path.name


@PATHS.each([(subject, kind) for subject in SUBJECTS for kind in KINDS])
def special(box: Box, pair: tuple[str, str]) -> Call:
    subject, kind = pair
    _material(box)
    ending = {"image": ".png", "config": ".py", "weights": ".safetensors"}.get(subject, "")
    name = _special(box, kind if kind != "socket" or hasattr(os, "mknod") else "fifo", ending)
    argv = tuple(part.replace("{odd}", name) for part in SUBJECTS[subject])
    return Call(
        argv,
        REFUSED,
        (name, "nothing", "/dev/null", "nowhere"),
        absent=("new.safetensors", "prepared"),
    )


@PATHS.each([(output, kind) for output in OUTPUTS for kind in ("fifo", "loop", "file", "below")])
def output(box: Box, pair: tuple[str, str]) -> Call:
    subject, kind = pair
    _material(box)
    ending = ".safetensors" if subject == "weights" else ""
    if kind in ("fifo", "loop"):
        name = _special(box, kind, ending)
    else:
        box.write("taken", "content")
        name = "taken" if kind == "file" else f"taken/inner{ending}"
    if kind == "file" and subject in ("markdown", "html", "result"):
        return Call(_filled(OUTPUTS[subject], name), ACCEPTED, may_change=("taken",))
    # a special file at the place of an output may be replaced, as any file
    is_file = subject in ("markdown", "html", "result", "weights")
    statuses = EITHER if is_file and kind in ("fifo", "loop") else REFUSED
    return Call(_filled(OUTPUTS[subject], name), statuses, (name, "taken", "odd"))


def _filled(argv: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(part.replace("{odd}", name) for part in argv)


@PATHS.each([text for text in TEXTS if text not in ("/", "..", "~", "*", "?")])
def odd_name(box: Box, text: str) -> Call:
    """A name that does not exist, in the place of a path."""
    _material(box)
    subject = box.random.choice(list(SUBJECTS))
    # `--` ends the flags and names nothing, so that a flag before it has no value
    return Call(_filled(SUBJECTS[subject], text), ANYTHING if text == "--" else DENIED)


@PATHS.each(["a\nb", "\x1b[31m", "caf\udce9", "a" * 240, "{}", "%s", "e\u0301", "[x]", "-x"])
def odd_image_name(box: Box, name: str) -> Call:
    """A good image under an odd name."""
    _material(box)
    path = box.folder / "photos" / (name + ".png")
    path.parent.mkdir()
    path.write_bytes(encoded(image_of("RGB"), "PNG"))
    return Call(("segment", "photos", *SEGMENT, "--format", "labels,coco,yolo"), ACCEPTED)
