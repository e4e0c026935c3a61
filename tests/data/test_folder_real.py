"""Tests of two real datasets read as your own data, and of the examples in docs/your_data.md."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from made_folder import made
from PIL import Image

from ovss.data.folder import describe_folder


def counted(masks: Path, names: list[str], classes: int) -> np.ndarray:
    """Counts pixels of each class, and last the unlabelled ones, directly from the files."""
    total = np.zeros(classes + 1, np.int64)
    for name in names:
        raw = np.asarray(Image.open(masks / f"{name}.png"))
        total[:-1] += np.bincount(raw.ravel(), minlength=256)[:classes]
        total[-1] += int((raw >= classes).sum())
    return total


def pixel_counts(described) -> np.ndarray:
    dataset, total = described.build(), np.zeros(len(described.names) + 1, np.int64)
    for _, mask in dataset.pairs:
        total += np.bincount(dataset.labels(mask).ravel() % (len(total)), minlength=len(total))
    return total  # IGNORE is -1, so the last


@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101)])
def test_camvid(shared_dir, split, count):
    root = shared_dir / "data/camvid11"
    facts = json.loads((root / "classes_and_split.json").read_text())
    described = describe_folder(root, split=split)
    assert (described.count, described.ignored) == (count, (11,))
    assert described.names == tuple(facts["classes"])
    assert set(described.names) - set(described.seen) == set(facts["unseen"])
    assert described.build().metainfo["words"] == tuple(facts["text_names"])
    if split == "val":
        stems = [path.stem for path in (root / "images/val").iterdir()]
        expected = counted(root / "labels/val", stems, 11)
        assert (pixel_counts(described) == expected).all()


def test_coco128(shared_dir):
    root = shared_dir / "data/coco128_seg"
    facts = json.loads((root / "split_seen_unseen.json").read_text())
    for split, stems in (("val", facts["val"]), ("train", facts["train"])):
        described = describe_folder(root, split=split)
        assert described.count == len(stems)
        assert set(described.names) - set(described.seen) == set(facts["unseen"])
        expected = counted(root / "masks/train2017", stems, 80)
        assert (pixel_counts(described) == expected).all()
    whole = describe_folder(root, split="train2017")
    assert (whole.count, whole.mask_suffix, whole.ignored) == (128, ".png", (255,))
    assert describe_folder(root, split="all").count == 128
    with pytest.raises(ValueError, match=r"val \(65 images listed in split_seen_unseen.json\)"):
        describe_folder(root)


def test_the_python_of_the_page(repo_root, tmp_path, monkeypatch):
    page = (repo_root / "docs/your_data.md").read_text()
    made(tmp_path / "my_data")
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", page, flags=re.DOTALL)[1]
    namespace: dict = {}
    exec(code, namespace)
    assert namespace["labels"][0].tolist() == [0, 1, 2, -1]


def test_the_json_of_the_page_is_read(repo_root, tmp_path):
    page = (repo_root / "docs/your_data.md").read_text()
    block = re.search(r"A JSON file has one of these forms:\n\n```\n(.*?)```", page, re.DOTALL)[1]
    forms = [json.loads(line) for line in block.splitlines() if "..." not in line]
    assert len(forms) == 4
    for i, form in enumerate(forms):
        values = values_of(form)
        root = made(tmp_path / str(i), form, row=[*values, *[255] * (4 - len(values))])
        labels = describe_folder(root).build().load(0).labels[0].tolist()
        assert labels[: len(values)] == list(range(len(values)))


def values_of(form: list | dict) -> list[int]:
    """Returns the label values of a class file in the order of the classes."""
    if isinstance(form, list):
        return [
            item.get("index", n) if isinstance(item, dict) else n for n, item in enumerate(form)
        ]
    return sorted(int(key) if key.isdigit() else value for key, value in form.items())


@pytest.fixture
def five_lines(repo_root) -> list[str]:
    page = (repo_root / "docs/your_data.md").read_text()
    lines = re.search(r"```\n(.*?)```", page, flags=re.DOTALL)[1].splitlines()
    assert len(lines) == 5
    return lines


def test_the_five_lines_of_the_page(five_lines, tmp_path):
    source = made(tmp_path, classes=None, stems=("a", "b"), row=(0, 1, 3, 255))
    script = "\n".join(five_lines[:-1])
    script = script.replace("IMAGES", str(source / "images"))
    script = script.replace("MASKS", str(source / "masks"))
    subprocess.run(["sh", "-e", "-c", script], check=True, cwd=tmp_path)
    described = describe_folder(tmp_path / "my_data")
    assert described.names == ("sky", "road", "car, automobile", "tram")
    assert described.seen == ("sky", "road", "car, automobile")

    from ovss.cli.main import main

    command = shlex.split(five_lines[-1].replace("_vit-b16", "_mini"))
    assert command[0] == "ovss"
    flags = ["--work-dir", str(tmp_path / "work"), "--out", str(tmp_path / "out.json")]
    command[command.index("my_data")] = str(tmp_path / "my_data")
    assert main([*command[1:], *flags]) == 0
    text = (tmp_path / "out.json").read_text()
    assert "car, automobile" in text
    assert "mIoU_unseen" in text
