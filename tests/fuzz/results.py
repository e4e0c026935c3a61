"""Result files, changed key by key, and the commands that read them."""

from __future__ import annotations

import copy
import json
from typing import Any

from .cases import ACCEPTED, ANYTHING, DENIED, EITHER, REFUSED, Box, Call, Group
from .material import read_base
from .odd import TEXTS, VALUES, as_json, damaged, nested, places_of, with_value, without

RESULTS = Group("results", weight=2)


def _content(box: Box) -> dict[str, Any]:
    return json.loads(read_base(box.base / "result.json"))


def _call(box: Box, text: str | bytes, statuses: frozenset[int] = REFUSED, how: str = "") -> Call:
    box.write("odd.json", text)
    how = how or box.random.choice(("table", "table", "files", "reproduce"))
    names = ("odd.json",)
    if how == "reproduce":
        call = ("reproduce", "odd.json", "--work-dir", "wd", "--out", "r.json")
        return Call(call, statuses, names, absent=("r.json",), has_error=False)
    flags = ("--markdown", "t.md", "--html", "t.html") if how == "files" else ()
    return Call(("table", "odd.json", *flags), statuses, names, absent=("t.md", "t.html"))


@RESULTS.each(["table", "files"])
def good(box: Box, how: str) -> Call:
    return _call(box, read_base(box.base / "result.json"), ACCEPTED, how)


@RESULTS.each(
    [
        "", "{", "[]", "null", "3", '"x"', "{}", '{"schema": 2}', '{"schema": 99}',
        '{"schema": "2"}',
        '{"schema": true}', '{"schema": 2.0}', '{"schema": null}', '{"schema": [2]}',
        '{"schema": 1}',
        nested(100_000), '{"schema":' * 20_000, "\ufeff{}", "{} {}", "\0", "<html></html>",
        '{"schema": 2, "schema": 2}', '{"schema": 1e400}', '{"schema": ' + "9" * 5000 + "}",
    ]
)  # fmt: skip
def other_text(box: Box, text: str) -> Call:
    return _call(box, text)


@RESULTS.each([b"\xff\xfe\xfd", b"\x80", b"PK\3\4" + bytes(40)])
def other_bytes(box: Box, content: bytes) -> Call:
    return _call(box, content)


PARTS = (
    "metrics", "headline", "categories", "protocol", "data", "weights", "run", "config_name",
    "config",
    "schema",
)  # fmt: skip


@RESULTS.each(PARTS)
def without_a_part(box: Box, part: str) -> Call:
    content = _content(box)
    del content[part]
    return _call(box, as_json(content))


@RESULTS.each(PARTS)
def another_part(box: Box, part: str) -> Call:
    value = box.random.choice(VALUES)
    return _call(box, as_json({**_content(box), part: value}), EITHER)


@RESULTS.each(range(60))
def another_value(box: Box, _: int) -> Call:
    content = _content(box)
    part = box.random.choice(PARTS[:-1])
    places = [place for place in places_of(content[part]) if place]
    if not places:
        return _call(box, as_json({**content, part: box.random.choice(VALUES)}), EITHER)
    place = (part, *box.random.choice(places))
    value = box.random.choice(VALUES)
    return _call(box, as_json(with_value(content, place, value)), EITHER)


@RESULTS.each(range(12))
def without_a_value(box: Box, _: int) -> Call:
    content = _content(box)
    places = [place for place in places_of(content) if len(place) > 1 and "fields" not in place]
    return _call(box, as_json(without(content, box.random.choice(places))), EITHER)


@RESULTS.each(
    [
        ("metrics.mIoU", 99.9), ("metrics.mIoU", float("nan")), ("metrics.mIoU", True),
        ("metrics.mIoU", -3), ("metrics.mIoU", "12"), ("metrics.mIoU", 1e400), ("data.images", -3),
        ("data.images", True), ("data.categories", 5), ("data.census", ""), ("run.seconds", -1),
        ("protocol.full_hash", "0" * 64), ("protocol.method_hash", "edited"),
        ("protocol.fields", {}),
        ("run.seconds", float("inf")), ("data.name", ""), ("run.started", "yesterday"),
        ("weights.model_sha256", "no hash"), ("metrics", {}), ("categories", {}), ("headline", "x"),
    ]
)  # fmt: skip
def edited(box: Box, change: tuple[str, Any]) -> Call:
    """Figures that a reader must not believe."""
    content = with_value(_content(box), tuple(change[0].split(".")), change[1])
    return _call(box, as_json(content), REFUSED, "table")


@RESULTS.each(["iou", "accuracy", "pixels", "predicted", "seen"])
def edited_category(box: Box, key: str) -> Call:
    content = copy.deepcopy(_content(box))
    row = max(content["categories"].values(), key=lambda each: each.get("pixels") or 0)
    row[key] = {"iou": 101.0, "accuracy": -1.0, "pixels": -5, "predicted": 1.5, "seen": "no"}[key]
    return _call(box, as_json(content), REFUSED, "table")


@RESULTS.each(["a\nb", "a|b", "<script>x</script>", "\x1b[31m", "`x`", "\ud800", "", "x" * 5000])
def odd_name_of_a_category(box: Box, name: str) -> Call:
    content = _content(box)
    first, *rest = content["categories"].items()
    content["categories"] = {name: first[1], **dict(rest)}
    return _call(box, as_json(content), EITHER, box.random.choice(("table", "files")))


@RESULTS.each(["a\nb", "a|b", "<script>x</script>", "\x1b[31m", "`x`", "", "x" * 5000])
def odd_name_of_a_method(box: Box, name: str) -> Call:
    content = {**_content(box), "config_name": name}
    call = _call(box, as_json(content), EITHER, "table")
    return call


@RESULTS.each(range(6))
def damaged_file(box: Box, _: int) -> Call:
    return _call(box, damaged(read_base(box.base / "result.json"), box.random), EITHER, "table")


@RESULTS.each(TEXTS[::4])
def metric(box: Box, name: str) -> Call:
    box.write("odd.json", read_base(box.base / "result.json"))
    return Call(("table", "odd.json", "--metric", name), ANYTHING)


@RESULTS.each(
    [
        ("--tolerance", "-1"), ("--tolerance", "nan"), ("--tolerance", "x"), ("--device", "cud"),
        ("--device", ""), ("--weights", "absent"), ("--data-root", "absent"),
        ("--encoder", "absent"),
        ("--launcher", "slurm"), ("--launcher", "x"), ("--device", "cpu:9"), ("--tolerance", ""),
    ]
)  # fmt: skip
def flags_of_reproduce(box: Box, flags: tuple[str, str]) -> Call:
    box.write("odd.json", read_base(box.base / "result.json"))
    statuses = ANYTHING if flags[1] in ("nan", "cpu:9") else DENIED
    return Call(("reproduce", "odd.json", "--work-dir", "wd", *flags), statuses, has_error=False)
