"""Files that `ovss benchmark` reads back, and its arguments."""

from __future__ import annotations

import json
from typing import Any

from .cases import ACCEPTED, DENIED, EITHER, REFUSED, Box, Call, Group
from .material import read_base
from .odd import VALUES, as_json, damaged, nested, places_of, with_value, without

BENCHMARKS = Group("benchmarks")
TABLE = ("benchmark", "table", "maskclip_mini", "--on", "mini_20", "--scenes", "2")


def _call(box: Box, text: str | bytes, statuses: frozenset[int]) -> Call:
    box.write("rows.json", text)
    flags = ("--json", "rows.json", "--markdown", "t.md")
    return Call((*TABLE, *flags), statuses, ("rows.json",), absent=("t.md",))


@BENCHMARKS
def good_rows(box: Box) -> Call:
    return _call(box, read_base(box.base / "rows.json"), ACCEPTED)


@BENCHMARKS.each(
    ["", "{", "[]", "null", '{"rows": 3}',
     '{"rows": [1]}', nested(50_000), '{"rows": [{"job": 1}]}',
     "\0", '{"rows": {}}', '{"rows": null}', '{"other": []}']
)  # fmt: skip
def other_text(box: Box, text: str) -> Call:
    return _call(box, text, REFUSED)


@BENCHMARKS.each([b"\xff\xfe", b"\x80"])
def other_bytes(box: Box, content: bytes) -> Call:
    return _call(box, content, REFUSED)


def _rows(box: Box) -> dict[str, Any]:
    return json.loads(read_base(box.base / "rows.json"))


@BENCHMARKS.each(range(24))
def another_value(box: Box, _: int) -> Call:
    """A changed row; not its job, because another job would be measured."""
    content = _rows(box)
    places = [place for place in places_of(content) if len(place) == 3 and "job" not in place]
    place = box.random.choice([*places, *(("rows", 0, "made_with", "device"),)])
    return _call(box, as_json(with_value(content, place, box.random.choice(VALUES))), EITHER)


@BENCHMARKS.each(range(8))
def without_a_value(box: Box, _: int) -> Call:
    content = _rows(box)
    places = [("rows", 0, key) for key in content["rows"][0] if key not in ("job", "images")]
    return _call(box, as_json(without(content, box.random.choice(places))), EITHER)


@BENCHMARKS.each(range(4))
def cut_rows(box: Box, _: int) -> Call:
    content = read_base(box.base / "rows.json")
    return _call(box, content[: box.random.randrange(len(content) - 2)], REFUSED)


@BENCHMARKS.each(
    [
        ("table", "absent_method"), ("table", "maskclip_mini,x"), ("table", "maskclip_mini,=1"),
        ("table", "maskclip_mini", "--on", "absent"), ("table", "--scenes", "0"), ("table", ""),
        ("table", "maskclip_mini", "--weights", "x=none"), ("table", "--scenes", "x"), ("speed",),
        ("table", "maskclip_mini,a.b=1"), ("speed", "maskclip_mini", "--categories", "0"),
        ("speed", "maskclip_mini", "--categories", "-1"),
        ("speed", "maskclip_mini", "--size", "0", "0"),
        ("speed", "maskclip_mini", "--rounds", "0"), ("speed", "maskclip_mini", "--rounds", "-1"),
        ("speed", "maskclip_mini", "--batch", "0"), ("speed", "maskclip_mini", "--kept", "x"),
        ("speed", "maskclip_mini", "--weights", "a"), ("speed", "maskclip_mini", "--warm-up", "-1"),
        ("speed", "maskclip_mini", "--given-text"), ("speed", "absent"), ("memory", "absent"),
        ("memory", "maskclip_mini", "--categories", "0"),
        ("memory", "maskclip_mini", "--batch", "0"),
        ("memory", "maskclip_mini", "--instead", "absent.py"),
        ("memory", "maskclip_mini", "--kept", "-1"),
        ("memory", "maskclip_mini", "--size", "-1", "4"),
        ("selection", "maskclip_mini", "--scenes", "0"),
        ("selection", "maskclip_mini", "--thresholds", "nan"), ("selection", "absent"), ("images",),
        ("selection", "maskclip_mini", "--on", "absent"), ("images", "absent"), ("nothing",), (),
        ("images", "maskclip_mini", "--on", "absent"),
        ("images", "maskclip_mini", "--scenes", "-1"),
        ("images", "maskclip_mini=absent.pth"), ("images", "maskclip_mini", "--device", "cud"),
        ("selection", "maskclip_mini", "--weights", "absent.pth"),
        ("memory", "maskclip_mini", "--device", ""),
    ]
)  # fmt: skip
def arguments(box: Box, arguments: tuple[str, ...]) -> Call:
    return Call(("benchmark", *arguments), DENIED)


@BENCHMARKS
def damaged_rows(box: Box) -> Call:
    content = read_base(box.base / "rows.json")
    # the hash of the job is kept: a row of another job would be measured, which takes long
    head, sign, tail = content.rpartition(b'"mIoU"')
    return _call(box, head + sign + damaged(tail, box.random), EITHER)
