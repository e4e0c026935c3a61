"""Mini world: its categories, its splits, and scenes determined by split, seed and index."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from ovss import mini_world as world
from ovss.mini_world import MiniWorld

SIZES = {"mini_20": (12, 8), "mini_150": (134, 16), "mini_556": (540, 16)}


def fingerprint(split: str, indices: list[int], seed: int = 3) -> str:
    """Hash of images, masks and captions, joined in the order of the indices."""
    scenes = MiniWorld(split, "mini_150", size=96, seed=seed, length=50)
    parts = {}
    for index in indices:
        scene = scenes[index]
        mask = b"" if scene.mask is None else scene.mask.tobytes()
        parts[index] = scene.image.tobytes() + mask + scene.caption.encode()
    return hashlib.sha256(b"".join(parts[index] for index in sorted(parts))).hexdigest()


@pytest.mark.parametrize("vocabulary", SIZES)
def test_vocabulary_is_unique_and_of_its_size(vocabulary: str) -> None:
    names = world.names(vocabulary)
    assert len(set(names)) == len(names) == sum(SIZES[vocabulary])
    assert len(world.object_names(vocabulary)) == SIZES[vocabulary][0]
    assert names == world.object_names(vocabulary) + world.stuff_names(vocabulary)


def test_vocabularies_are_nested() -> None:
    small, middle, large = (set(world.names(vocabulary)) for vocabulary in SIZES)
    assert small < middle < large


@pytest.mark.parametrize("vocabulary", SIZES)
def test_three_fifths_are_seen_with_every_attribute_among_them(vocabulary: str) -> None:
    seen = world.seen_names(vocabulary)
    assert 0.55 < len(seen) / sum(SIZES[vocabulary]) < 0.65
    objects = [world.attributes_of(name) for name in seen if name not in world.STUFF]
    assert 0.55 < len(objects) / SIZES[vocabulary][0] < 0.65
    if vocabulary != "mini_20":  # seven objects cannot show ten colours
        for field, values in (
            ("surface", world.SURFACES),
            ("colour", world.COLOURS),
            ("shape", world.SHAPES),
        ):
            assert {getattr(item, field) for item in objects} == set(values)


@pytest.mark.parametrize("vocabulary", SIZES)
def test_every_vocabulary_shows_every_attribute(vocabulary: str) -> None:
    objects = [world.attributes_of(name) for name in world.object_names(vocabulary)]
    assert {item.colour for item in objects} == set(world.COLOURS)
    assert {item.shape for item in objects} == set(world.SHAPES)
    assert {item.surface for item in objects} == set(world.SURFACES)


@pytest.mark.parametrize("split", world.SPLITS)
def test_scenes_do_not_depend_on_order_or_process(split: str) -> None:
    here = fingerprint(split, [4, 0, 17])
    assert fingerprint(split, [17, 4, 0]) == here
    code = (
        "import sys; sys.path.insert(0, 'tests/mini_world')\n"
        f"from test_mini_world import fingerprint; print(fingerprint({split!r}, [0, 17, 4]))"
    )
    root = str(__import__("pathlib").Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == here


def test_split_seed_and_index_each_change_the_scene() -> None:
    prints = {fingerprint(split, [index], seed) for split in world.SPLITS for index in (1, 2)
              for seed in (0, 1)}  # fmt: skip
    assert len(prints) == 12


def test_needs_neither_torch_nor_mmseg() -> None:
    """The renderer's files import only numpy and the standard library."""
    imported = set()
    folder = __import__("pathlib").Path(world.__file__).parent
    for path in folder.glob("*.py"):
        for line in path.read_text().splitlines():
            if line.startswith(("import ", "from ")) and not line.startswith("from ."):
                imported.add(line.split()[1].split(".")[0])
    assert imported <= {
        "__future__",
        "collections",
        "dataclasses",
        "functools",
        "numpy",
        "typing",
        "zlib",
    }


@pytest.mark.parametrize("split", ["train", "val"])
def test_mask_and_records_agree(split: str) -> None:
    scenes = MiniWorld(split, "mini_150", size=96, length=60, seed=5)
    for index in range(60):
        scene = scenes[index]
        assert scene.image.shape == (96, 96, 3)
        assert scene.image.dtype == np.uint8
        assert scene.mask.shape == (96, 96)
        assert scene.mask.dtype == np.int16
        counts = np.bincount(scene.mask.ravel(), minlength=150)
        present = {scenes.names[i] for i in np.flatnonzero(counts)}
        visible = {item.category for item in scene.objects if item.pixels}
        assert present == visible | set(scene.stuff)
        assert all(counts[scenes.names.index(o.category)] == o.pixels for o in scene.objects)
        assert 1 <= len(scene.objects) <= 4
        assert len({o.category for o in scene.objects}) == len(scene.objects)


def test_mask_lies_where_the_object_is_painted() -> None:
    """Without noise and uneven light, the pixels of a plain object are those of its mask."""
    scenes = MiniWorld("val", "mini_556", size=64, length=400, objects=(1, 1), difficulty=0.0)
    checked = 0
    for index in range(400):
        scene = scenes[index]
        item = scene.objects[0]
        if (item.attributes.surface, item.attributes.colour) != ("plain", "cyan"):
            continue
        inside = scene.mask == scenes.names.index(item.category)
        red, green, blue = np.moveaxis(scene.image.astype(int), 2, 0)
        cyan = (np.minimum(green, blue) - red > 90) & (abs(green - blue) < 40)
        grown = np.pad(inside, 1)
        near = sum(grown[dy : dy + 64, dx : dx + 64] for dy in range(3) for dx in range(3))
        assert cyan[near == 9].all()  # inside
        if scene.stuff[0] != "water":
            assert not cyan[near == 0].any()  # outside
        checked += 1
    assert checked >= 3


def test_train_shows_seen_names_only_and_val_all() -> None:
    def shown(split: str, count: int) -> set[str]:
        scenes = MiniWorld(split, "mini_20", size=96, length=count)
        return {
            name
            for index in range(count)
            for name in [o.category for o in scenes[index].objects] + list(scenes[index].stuff)
        }

    assert shown("train", 80) == set(world.seen_names("mini_20"))
    assert shown("val", 120) == set(world.names("mini_20"))


def test_web_has_captions_without_masks_over_all_categories() -> None:
    scenes = MiniWorld("web", size=64, length=3000)
    assert scenes.names == world.names("mini_556")
    occurring, counts = set(), set()
    for index in range(3000):
        scene = scenes[index]
        assert scene.mask is None
        named = [item.category for item in scene.objects if item.pixels >= 30]
        assert all(f"a {name}" in scene.caption for name in named)
        occurring.update(named, scene.stuff)
        counts.add(len(scene.objects))
    assert counts == {0, 1, 2}
    assert len(occurring) > 0.97 * 556


def test_object_sizes_do_not_depend_on_the_image_size() -> None:
    for size in (64, 128):
        scenes = MiniWorld("val", "mini_150", size=size, length=60, objects=(1, 1), seed=1)
        widths = []
        for index in range(60):
            scene = scenes[index]
            inside = scene.mask == scenes.names.index(scene.objects[0].category)
            widths.append(max(np.ptp(np.flatnonzero(inside.any(axis))) + 1 for axis in (0, 1)))
        assert max(widths) <= 1.15 * world.DIAMETER[1]
        assert np.median(widths) > world.DIAMETER[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"split": "test"}, KeyError, "train, val, web"),
        ({"vocabulary": "mini_99"}, KeyError, "mini_20, mini_150, mini_556"),
        ({"size": 32}, ValueError, "size >= 64"),
        ({"difficulty": 1.5}, ValueError, "difficulty"),
        ({"objects": (3, 1)}, ValueError, "minimum <= maximum"),
    ],
)
def test_invalid_arguments_are_named(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MiniWorld(**arguments)


def test_unknown_names_are_rejected() -> None:
    with pytest.raises(KeyError, match="striped red star"):
        world.is_seen("striped red dog")
    with pytest.raises(IndexError, match="10 scenes"):
        MiniWorld(length=10)[10]
