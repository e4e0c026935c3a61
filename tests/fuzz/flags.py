"""Flags of every command: wrong values, unknown names, repetitions, and flags of other commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from .cases import ACCEPTED, ANYTHING, DENIED, EITHER, USAGE, Box, Call, Group
from .images import encoded, image_of
from .material import SEGMENT
from .odd import NUMBERS, TEXTS

FLAGS = Group("flags", weight=2)

COMMANDS = (
    "segment", "train", "test", "reproduce", "table", "prepare", "config", "convert", "publish",
    "save", "complexity", "list", "new-plugin", "demo", "label", "export",
)  # fmt: skip
START = {
    "segment": ("segment", "a.png", *SEGMENT),
    "train": ("train", "absent.py"),
    "test": ("test", "absent.py"),
    "reproduce": ("reproduce", "absent.json"),
    "table": ("table", "absent.json"),
    "prepare": ("prepare", "absent_set", "--source", "absent", "--out", "o"),
    "config": ("config", "absent.py"),
    "convert": ("convert", "absent_method", "absent.pth", "new.safetensors"),
    "publish": ("publish", "absent.safetensors", "new.safetensors"),
    "save": ("save", "absent.py", "new_model"),
    "complexity": ("complexity", "absent.py"),
    "list": ("list", "absent_section"),
    "new-plugin": ("new-plugin", "Not A Name"),
    "demo": ("demo", "--model", "absent.py", "--out", "o"),
    "label": ("label", "a.png", *SEGMENT, "--model", "absent.py", "--out", "o"),
    "export": ("export", "absent.py", "--out", "o"),
}
"""Command lines that end in a refusal, unless they are refused for a flag first."""


def flags_of(command: str) -> Iterator[argparse.Action]:
    """Flags of a command that take a value."""
    import importlib

    module = importlib.import_module(f"ovss.cli.{command.replace('-', '_')}")
    if hasattr(module, "build_parser"):
        parser = module.build_parser()
    else:
        parser = argparse.ArgumentParser()
        parser.register("action", "key_values", argparse.Action)
        module.add_arguments(parser)
    for action in parser._actions:
        if action.option_strings and action.nargs != 0:
            yield action


VALUED = [(c, action.option_strings[0]) for c in COMMANDS for action in flags_of(c)]
"""(command, flag) of all flags with a value."""


def _write(box: Box) -> None:
    box.write("fast.py", (box.base / "fast.py").read_bytes())
    box.write("a.png", encoded(image_of("RGB"), "PNG"))


@FLAGS.each(VALUED)
def odd_value(box: Box, pair: tuple[str, str]) -> Call:
    command, flag = pair
    _write(box)
    value = box.random.choice((*TEXTS, *NUMBERS))
    statuses = ANYTHING if command == "segment" else DENIED
    return Call((*START[command], f"{flag}={value}"), statuses)


@FLAGS.each(VALUED[::3])
def value_missing(box: Box, pair: tuple[str, str]) -> Call:
    _write(box)
    optional = ("--resume", "--amp", "--published", "--baselines")
    return Call((*START[pair[0]], pair[1]), DENIED if pair[1] in optional else USAGE)


@FLAGS.each([(command, flag) for command in COMMANDS for flag in ("--nonsense", "-x", "--")])
def unknown_flag(box: Box, pair: tuple[str, str]) -> Call:
    _write(box)
    statuses = EITHER if pair[1] == "--" else USAGE
    if pair == ("segment", "--"):
        statuses = ACCEPTED
    return Call((*START[pair[0]], pair[1]), statuses)


@FLAGS.each(range(30))
def flag_of_another_command(box: Box, number: int) -> Call:
    _write(box)
    command = COMMANDS[number % len(COMMANDS)]
    own = tuple(flag for other, flag in VALUED if other == command)
    # the beginning of an own flag, such as --split for --splits, is that flag
    others = [flag for _, flag in VALUED if not any(name.startswith(flag) for name in own)]
    flag = box.random.choice(others)
    return Call((*START[command], flag, "1"), USAGE if command != "demo" else DENIED)


@FLAGS.each(
    [
        ("--batch", "x"), ("--batch", "0"), ("--batch", "-1"), ("--batch", "1.5"),
        ("--batch", "9" * 30),
        ("--tile", "9"), ("--tile", "nan"), ("--tile", "9" * 30), ("--every", "0"), ("--fps", "-1"),
        ("--fps", "nan"), ("--fps", "inf"), ("--opacity", "2"), ("--opacity", "nan"),
        ("--opacity", "x"),
        ("--threshold", "2"), ("--threshold", "nan"), ("--threshold", "-1"), ("--threshold", "x"),
        ("--threshold", "inf"), ("--format", ""), ("--format", "x"), ("--format", "labels,,x"),
        ("--format", ","), ("--show", "x"), ("--synonyms", "x"), ("--device", ""),
        ("--device", "cud"),
        ("--device", "cuda:99"), ("--device", "meta"), ("--device", "cpu:-1"), ("--device", "\n"),
        ("--device", "vulkan"), ("--device", "0"), ("--templates", "absent"), ("--templates", ""),
        ("--model", ""), ("--model", "absent"), ("--model", "."), ("--weights", ""),
        ("--weights", "x.pth"),
        ("--pretrained", ""), ("--pretrained", "absent"), ("--fps", "5"), ("--vocabulary", "coco"),
        ("--device", "cuda:x"), ("--device", "CPU "), ("--every", "\u0663"), ("--batch", "\u00b2"),
    ]
)  # fmt: skip
def wrong_value_of_segment(box: Box, flags: tuple[str, str]) -> Call:
    _write(box)
    # a value that is huge may be one, and a tile larger than the image has no effect
    statuses = ANYTHING if flags[1] in ("9" * 30, "") else DENIED
    return Call((*START["segment"], *flags), statuses)


@FLAGS.each(
    [
        ("train", "--steps", "2"), ("train", "--micro-batch", "0"),
        ("train", "--micro-batch", "-1"),
        ("train", "--seed", "-1"), ("train", "--seed", "9" * 30), ("train", "--amp", "float64"),
        ("train", "--dry-run", "--steps", "0"), ("train", "--dry-run", "--steps", "-5"),
        ("train", "--dry-run", "--resume"), ("train", "--launcher", "pytorch"),
        ("train", "--launcher", "mpi"),
        ("train", "--launcher", "slurm"), ("train", "--local_rank", "x"), ("test", "--limit", "0"),
        ("test", "--limit", "-1"), ("test", "--limit", "x"), ("test", "--show-count", "x"),
        ("test", "--on", "absent"), ("test", "--on", ""), ("test", "--split", "val"),
        ("test", "--device", "cud"),
        ("test", "--images", "x"), ("test", "--launcher", "pytorch"), ("test", "--device", ""),
        ("test", "--on", "mini_20", "--data", "x"), ("test", "--out", ""),
        ("test", "--show-count", "-1", "--show-dir", "s"),
        ("train", "--work-dir", ""), ("train", "--resume", ""), ("train", "--resume", "absent.pth"),
    ]
)  # fmt: skip
def wrong_value_of_a_run(box: Box, flags: tuple[str, ...]) -> Call:
    box.write("train.py", (box.base / "train.py").read_bytes())
    command, *rest = flags
    more = ("none",) if command == "test" else ()
    place = () if "--work-dir" in rest else ("--work-dir", "wd")
    statuses = ANYTHING if "" in rest or "-1" in rest or "9" * 30 in rest else DENIED
    return Call((command, "train.py", *more, *place, *rest), statuses)


@FLAGS.each(
    [
        (), ("",), ("nonsense",), ("segmen",), ("--nonsense",), ("-h", "x"), ("--version",),
        ("Segment",),
        ("segment",), ("table",), ("prepare",), ("config",), ("convert",), ("publish",),
        ("complexity",),
        ("new-plugin",), ("label",), ("label", "a.png"), ("label", "--status", "absent"),
        ("label", "--status", "a.png", "a.png"), ("label", "absent.parquet", "--words", "a"),
        ("label", "a.png", "--words", "a", "--shards", "1/1"),
        ("segment", "a.png"), ("segment", "--words", "a"), ("list", "--on", "x"),
        ("list", "--on", "x", "protocols"), ("list", "--compatible-with", "Nothing"), ("list", ""),
        ("list", "--compatible-with", ""), ("list", "methods", "--compatible-with", "KeepAll"),
        ("complexity", "maskclip_mini", "--categories", "0"),
        ("complexity", "maskclip_mini", "--size", "0", "0"),
        ("complexity", "maskclip_mini", "--size", "-1", "5"),
        ("complexity", "maskclip_mini", "--kept", "0"),
        ("complexity", "maskclip_mini", "--kept", "9999"),
        ("complexity", "maskclip_mini", "--vocabulary", "x"),
        ("complexity", "maskclip_mini", "--categories", "9" * 30), ("prepare", "cityscapes"),
        ("prepare", "x"),
        ("prepare", "cityscapes", "--source", "absent", "--out", "o", "--jobs", "0"),
        ("doctor", "x"),
        ("prepare", "cityscapes", "--source", "absent", "--out", "o", "--splits", "x"),
        ("doctor", "--x"),
        ("prepare", "cityscapes", "--source", "absent", "--out", "o", "--jobs", "-1"),
        ("demo", "--size", "0"),
        ("prepare", "--check", "absent"), ("new-plugin", ""), ("new-plugin", "class"),
        ("new-plugin", "torch"),
        ("new-plugin", "../x"), ("new-plugin", "é"), ("new-plugin", "a" * 300),
        ("new-plugin", "my_x", "--dir", "\n"),
        ("demo", "--images", "0"), ("demo", "--images", "-1"), ("demo", "--scenes", "0"),
        ("demo", "--size", "-5"),
        ("convert", "clip", "x", "y.safetensors"), ("convert", "cat_seg", "absent", "y"),
        ("demo", "--size", "9" * 30),
        ("convert", "cat_seg", "absent.pth", "y.safetensors", "--model", "x"),
        ("publish", "a", "b"),
        ("convert", "nothing", "absent", "y.safetensors"),
        ("convert", "clip", "x", "y.safetensors", "--model", "y"),
    ]
)  # fmt: skip
def command_line(box: Box, argv: tuple[str, ...]) -> Call:
    _write(box)
    fine = ((), ("-h", "x"), ("--version",), ("new-plugin", "my_x", "--dir", "\n"))
    return Call(argv, frozenset({0, *DENIED}) if argv in fine else DENIED)


@FLAGS.each(["--words", "--words-file", "--vocabulary"])
def two_vocabularies(box: Box, flag: str) -> Call:
    _write(box)
    return Call((*START["segment"], flag, "x"), ACCEPTED if flag == "--words" else USAGE)


@FLAGS.each(["--json", "--no-names", "--large", "--frames"])
def repeated(box: Box, flag: str) -> Call:
    _write(box)
    return Call((*START["segment"], flag, flag), ACCEPTED)
