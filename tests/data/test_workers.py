"""Errors of data in worker processes: one sentence with image and file, never a traceback."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ovss.cli.errors import describe
from ovss.cli.main import main
from ovss.data.image_mask import ImageMaskDataset
from ovss.data.labels import LabelValueError
from ovss.data.loaders import batches_of
from ovss.data.workers import DataLoadingError
from ovss.io.advice import advice_of, advised
from tests.tiny_training import tiny_config


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """Folder with four labelled images and a class file."""
    folder = tmp_path_factory.mktemp("good")
    draw = np.random.default_rng(0)
    for kind, shape in (("images", (32, 32, 3)), ("masks", (32, 32))):
        (folder / kind).mkdir()
        for index in range(4):
            values = draw.integers(0, 255 if kind == "images" else 3, shape, np.uint8)
            Image.fromarray(values).save(folder / kind / f"{index}.png")
    (folder / "classes.txt").write_text("sky\ngrass\nroad\n")
    return folder


def truncated(folder: Path) -> None:
    path = folder / "images" / "2.png"
    path.write_bytes(path.read_bytes()[:900])


def out_of_range(folder: Path) -> None:
    Image.fromarray(np.full((32, 32), 77, np.uint8)).save(folder / "masks" / "2.png")


def missing(folder: Path) -> None:
    (folder / "masks" / "2.png").unlink()


FAULTS = {truncated: "images/2.png: ", out_of_range: "holds 77 (1024 pixels)", missing: "2.png"}


def dataset_of(folder: Path) -> ImageMaskDataset:
    names = ["sky", "grass", "road"]
    return ImageMaskDataset(str(folder / "images"), str(folder / "masks"), names, pipeline=[])


def load(dataset: Dataset, workers: int) -> None:
    """Loads every image, in processes that end also if one of them fails."""
    with batches_of(DataLoader(dataset, batch_size=None, num_workers=workers)) as batches:
        list(batches)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_worker_is_a_sentence_with_the_file(good, tmp_path, fault):
    folder = tmp_path / "data"
    shutil.copytree(good, folder)
    dataset = dataset_of(folder)
    fault(folder)
    with pytest.raises(DataLoadingError) as caught:
        load(dataset, workers=2)
    text = describe(caught.value)
    assert FAULTS[fault] in text
    assert "image 2 of the dataset" in text
    assert "2.png" in text
    assert "Traceback" not in text
    assert len(text) < 400
    assert "Traceback" in str(caught.value.__cause__), "--debug shows it"
    with pytest.raises(ValueError, match=r"2\.png") as alone:
        dataset[2]
    assert not isinstance(alone.value, DataLoadingError), "in this process the error is its own"


@pytest.mark.parametrize("workers", [0, 2])
def test_the_command_prints_the_sentence(good, tmp_path, capsys, workers):
    folder, config = tmp_path / "data", tiny_config(tmp_path)
    shutil.copytree(good, folder)
    listed = f"""
test_dataloader = dict(
    _delete_=True, batch_size=1, num_workers={workers}, persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(type="ImageMaskDataset", images={str(folder / "images")!r},
                 masks={str(folder / "masks")!r}, vocabulary=["sky", "grass", "road"],
                 pipeline=[dict(type="PackSample")]))
"""
    config.write_text(config.read_text() + listed)
    out_of_range(folder)
    assert main(["test", str(config), "none", "--work-dir", str(tmp_path / "w")]) == 1
    assert not multiprocessing.active_children()
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert line.startswith(f"error: Label map {folder / 'masks' / '2.png'} holds 77")
    assert len(line) < 400


class Foreign(Dataset):
    """Dataset of another package, with an error whose class needs two arguments."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        raise LabelValueError("label 9 is unknown", [9], "Correct it")


def test_the_traceback_of_other_datasets_is_left_out():
    with pytest.raises(Exception, match="Caught") as caught:
        load(Foreign(), workers=1)
    assert describe(caught.value) == (
        "LabelValueError: label 9 is unknown. Correct it (--debug shows where)"
    )


def test_a_killed_worker_is_named_with_what_to_do(capsys, monkeypatch):
    from ovss.cli.advice import sentences

    error = RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed. ")
    assert describe(error) == (
        "A process that loads data was ended by the signal 'Killed', probably because memory ran "
        "out"
    )
    assert "train_dataloader.num_workers=0" in sentences("train", error)
    assert "test_dataloader.num_workers=0" in sentences("test", error)


def test_advice_survives_the_border_between_processes():
    class Advised(Dataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> int:
            from ovss.data.workers import located_in_worker

            with located_in_worker(index, "a.png"):
                raise advised(MemoryError(), "large")

    with pytest.raises(DataLoadingError, match=r"^out of memory .*image 0 .*a\.png") as caught:
        load(Advised(), workers=1)
    assert advice_of(caught.value).topics == ("large",)


def test_errors_of_labels_survive_pickling():
    error = advised(LabelValueError("a.png holds 9", [9], "Correct it"), "classes")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.values) == (str(error), (9,))
    assert advice_of(again).topics == ("classes",)
