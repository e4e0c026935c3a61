"""Tests of vocabularies by name, list and file, and of errors that give the position."""

from __future__ import annotations

import json

import pytest

from ovss.structures import Vocabulary
from ovss.vocabularies import (
    find_duplicates,
    list_templates,
    list_vocabularies,
    load_names,
    load_templates,
    load_vocabulary,
)

OFFICIAL = {
    "coco_stuff_171": (171, "person", "wood", "coco"),
    "ade20k_150": (150, "wall", "flag", "ade150"),
    "ade20k_847": (847, "wall", None, "ade847"),
    "pascal_context_59": (59, "aeroplane", None, "pc59"),
    "pascal_context_459": (459, "accordion", None, "pc459"),
    "pascal_voc_20": (20, "aeroplane", "tvmonitor", "voc20"),
    "pascal_voc_20b": (59, "aeroplane", None, "voc20b"),
}
PEOPLE = (
    "person, child, girl, boy, woman, man, people, children, girls, boys, women, men, lady, guy, "
    "ladies, guys, clothes"
)
RESTATED = {
    "cityscapes": (19, "road", "bicycle"),
    "coco_object": (81, "background", "toothbrush"),
    "coco_panoptic_133": (133, PEOPLE, "rug"),
    "coco_stuff_156": (156, "person", "wood"),
    "pascal_context_60": (60, "background", "wood"),
    "pascal_voc_21": (21, "background", "tvmonitor"),
    "pascal_voc_15": (15, "aeroplane", "person"),
}
"""Lists that were not published as a file of one class per line."""


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_lists(name):
    count, first, last, _ = OFFICIAL[name]
    names = load_names(name)
    assert len(names) == count
    assert names[0] == first
    assert last is None or names[-1] == last
    assert all(word == word.strip() for word in names)


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_lists_are_the_published_files(name, shared_dir):
    file = shared_dir / "data" / "labels" / "official" / f"{OFFICIAL[name][3]}.json"
    if not file.is_file():
        pytest.skip(f"no {file}")
    assert load_names(name) == tuple(word.strip() for word in json.loads(file.read_text()))


@pytest.mark.parametrize("name", RESTATED)
def test_restated_lists(name):
    count, first, last = RESTATED[name]
    names = load_names(name)
    assert (len(names), names[0], names[-1]) == (count, first, last)
    assert not find_duplicates(names)


def test_things_of_coco_are_those_of_coco_stuff():
    assert load_names("coco_object")[1:] == load_names("coco_stuff_171")[:80]


def test_duplicates_of_the_large_list_are_known_and_exempt():
    names = load_names("ade20k_847")
    repeated = find_duplicates(names)
    assert sum(len(indices) - 1 for indices in repeated.values()) == 10
    assert find_duplicates(names, "average") == {}
    assert {"bag", "patio"} <= set(repeated)
    with pytest.raises(ValueError, match=r"twice: 'bag'.*and 4 more"):
        load_names(list(names))
    for name in OFFICIAL:
        assert name == "ade20k_847" or not find_duplicates(load_names(name))


def test_every_registered_name_loads():
    mini = {"mini_20", "mini_150", "mini_556"}
    assert {*mini, *(f"{name}_seen" for name in mini), *OFFICIAL, *RESTATED} == set(
        list_vocabularies()
    )
    for name in list_vocabularies():
        assert load_names(name)
    assert len(load_names("mini_556")) == 556
    for name in list_templates():
        assert isinstance(load_vocabulary("pascal_voc_20", templates=name), Vocabulary)


def test_templates():
    counts = {name: len(load_templates(name)) for name in list_templates()}
    assert counts == {
        "name": 1, "single": 1, "cat_seg": 1, "imagenet_7": 7, "imagenet_80": 80,
        "imagenet_select": 8, "imagenet_select_clip": 32, "vild_14": 14, "vild_63": 63,
        "zegclip": 15, "zegformer": 40,
    }  # fmt: skip
    assert load_templates("cat_seg") == ("A photo of a {} in the scene",)
    assert load_templates(["{}", "the {}"]) == ("{}", "the {}")
    open_clip = pytest.importorskip("open_clip")
    expected = tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)
    assert load_templates("imagenet_80") == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("imagenet80", r"Unknown list of templates 'imagenet80'\. Did you mean imagenet_80"),
        ("a photo of {}", r"as a list: templates=\['a photo of {}'\]"),
        ([], "at least one prompt template, got none"),
        (["a photo"], "exactly one '{}'"),
        (["{} {}"], "exactly one '{}'"),
    ],
)
def test_bad_templates(source, message):
    with pytest.raises(ValueError, match=message):
        load_templates(source)
    with pytest.raises(TypeError, match="item 0 of source of load_templates must be text, got 3"):
        load_templates([3])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "has no names"),
        (["cat", "  "], r"name 1: the name is blank \('  '\)"),
        ([" , ", "cat"], "name 0: the name is blank"),
        (["Sofa, couch", "cat", "sofa "], r"twice: 'sofa' \(name 0, name 2\)"),
        (["traffic light", "Traffic  Light"], r"twice: 'traffic light'"),
    ],
)
def test_bad_lists(names, message):
    with pytest.raises(ValueError, match=message):
        load_vocabulary(names)


def test_duplicates_follow_the_synonym_rule():
    names = ["sofa, couch", "sofa, settee", "couch, sofa"]
    with pytest.raises(ValueError, match=r"'sofa' \(name 0, name 1\)"):
        load_names(names)
    with pytest.raises(ValueError, match=r"'couch, sofa' \(name 0, name 2\)"):
        load_names(names, synonyms="average")
    assert len(load_names(names[:2], synonyms="average")) == 2
    with pytest.warns(UserWarning, match="twice"):
        assert len(load_names(names, duplicates="warn")) == 3
    with pytest.raises(ValueError, match="'error' or 'warn'"):
        load_names(names, duplicates="ignore")
    with pytest.raises(TypeError, match="item 1 of source of load_names must be text, got None"):
        load_names(["cat", None])


def test_text_files(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("\ufeffkäse, cheese\r\n# a comment\n  red   wine \nc# sharp\n\n\n", "utf-8")
    assert load_names(file) == load_names(str(file)) == ("käse, cheese", "red wine", "c# sharp")
    listed = tmp_path / "words.json"
    listed.write_text('["a, b", "c"]')
    assert load_names(listed) == ("a, b", "c")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no names"),
        (b"# only this\n", "has no names"),
        (b"cat\n\ndog\n", r"words.txt, line 2: the name is blank"),
        (b"cat\n#\nCat, kitten\n", r"words.txt names .* 'cat' \(line 1, line 3\)"),
        (b"cat\n\xff\xfe\n", "not UTF-8 text .byte 4"),
    ],
)
def test_bad_files_name_file_and_line(tmp_path, content, message):
    file = tmp_path / "words.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_names(file)


def test_bad_json_files(tmp_path):
    file = tmp_path / "words.json"
    for content, message in (
        ("{", "is truncated or not JSON"),
        ('{"a": 1}', "must hold a list of names, got dict"),
    ):
        file.write_text(content)
        with pytest.raises(ValueError, match=message):
            load_names(file)


def test_unknown_names_and_absent_paths(tmp_path):
    with pytest.raises(ValueError, match=r"'ade20k150'. Did you mean ade20k_150.*Known: .*mini_20"):
        load_names("ade20k150")
    with pytest.raises(ValueError, match="use a list, not one string"):
        load_names("cat, dog")
    for source in (str(tmp_path / "words.txt"), "words.txt", tmp_path / "words"):
        with pytest.raises(FileNotFoundError, match="the file does not exist"):
            load_names(source)
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        load_names(tmp_path)
