"""Names of categories: on the command line, in text files, tables and class files."""

from __future__ import annotations

from .cases import ACCEPTED, ANYTHING, EITHER, REFUSED, Box, Call, Group
from .images import encoded, image_of
from .material import SEGMENT
from .odd import TEXTS, VALUES, as_json, damaged, nested

WORDS = Group("words")
REST = SEGMENT[2:]


def _call(box: Box, flags: tuple[str, ...], statuses: frozenset[int], *names: str) -> Call:
    box.write("fast.py", (box.base / "fast.py").read_bytes())
    box.write("a.png", encoded(image_of("RGB"), "PNG"))
    return Call(("segment", "a.png", *flags, *REST), statuses, names)


@WORDS.each(TEXTS)
def on_the_command_line(box: Box, text: str) -> Call:
    return _call(box, ("--words", text), ANYTHING)


@WORDS.each(TEXTS[::3])
def as_background(box: Box, text: str) -> Call:
    return _call(box, ("--words", "cat, dog", "--background", text), ANYTHING)


@WORDS.each(
    [
        b"", b"\n\n", b"\0", b"cat\0dog\n", b"\xff\xfe", "cat\ndog\n".encode("utf-16"),
        "cat\ndog\n".encode("utf-32"), b"caf\xe9\n", b"\x80\x81\n", b"cat\ncat\n", b"cat\nCat\n",
        "e\u0301\n\u00e9\n".encode(), b"\x1b[31mred\n", b"a\x07b\n", b"{", b"[]", b"{}", b"null",
        b"[1, 2]", b'{"classes": 3}', b'{"classes": [null]}', b"<html></html>", b"%PDF-1.4",
        b"\x89PNG\r\n\x1a\n", b"," * 50, b"id,name\n1\n2,b,c\n", b"id\tname\n\tx\n",
        "\ud800\n".encode("utf-8", "surrogatepass"), nested(100_000).encode(), b'"unclosed',
        b"x" * 20_000 + b"\n", b"name\n" * 3, b"a\rb\r", b"a\n\n\nb", b"# only a comment\n",
        b"\xef\xbb\xbf\n", b"1\n2\n3\n", b"id,name\n0,a\n0,b\n",
    ]
)  # fmt: skip
def in_a_file(box: Box, content: bytes) -> Call:
    name = box.random.choice(("names.txt", "names.csv", "names.json", "names.tsv", "names"))
    box.write(name, content)
    flag = box.random.choice(("--words-file", "--vocabulary"))
    return _call(box, (flag, name), EITHER)


@WORDS.each([b"cat\ndog\n", b"\xef\xbb\xbfcat\r\ndog\r\n", b"sofa, couch\ncat\n"])
def good_file(box: Box, content: bytes) -> Call:
    box.write("names.txt", content)
    return _call(box, ("--words-file", "names.txt"), ACCEPTED)


@WORDS.each(["txt", "csv", "json", "tsv"])
def damaged_file(box: Box, ending: str) -> Call:
    content = {"txt": b"cat\ndog\nbird\n", "csv": b"id,name,color\n0,cat,#ff0000\n1,dog,#00ff00\n"}
    content["tsv"] = content["csv"].replace(b",", b"\t")
    content["json"] = as_json({"classes": ["cat", "dog"], "synonyms": [["puppy"]]}).encode()
    box.write(f"names.{ending}", damaged(content[ending], box.random))
    return _call(box, ("--vocabulary", f"names.{ending}"), EITHER)


@WORDS.each(VALUES)
def value_of_a_class(box: Box, value: object) -> Call:
    box.write("names.json", as_json({"classes": ["cat", value]}))
    return _call(box, ("--vocabulary", "names.json"), EITHER)


@WORDS
def many_names(box: Box) -> Call:
    box.write("names.txt", "".join(f"thing {number}\n" for number in range(3_000)))
    return _call(box, ("--words-file", "names.txt"), EITHER)


@WORDS
def a_vocabulary_that_does_not_exist(box: Box) -> Call:
    return _call(box, ("--vocabulary", "ade20k_15"), REFUSED, "ade20k_15")
