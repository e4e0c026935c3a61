"""Regions of the ground truth, and who may read label maps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from composed import region_method

import ovss
from ovss.benchmark.table_text import benchmark_text
from ovss.cli import main
from ovss.interfaces import Encoder
from ovss.models.configs import load_config
from ovss.models.parts import is_upper_bound
from ovss.proposers.binary import CONFIDENCE
from ovss.proposers.current import (
    CurrentImage,
    current_images,
    current_labels,
    current_names,
    current_samples,
)
from ovss.structures import IGNORE
from ovss.testing import labels_have_no_influence_at_inference
from ovss.testing.tiny import make_images, make_names, make_sample

LABELS = torch.tensor([[0, 0, 2, 2], [0, 0, 2, IGNORE], [2, 4, 4, IGNORE], [2, 4, 4, 4]])


def oracle(**options):
    return region_method(dict(type="OracleProposer", **options))


def proposals_of(model, *labels):
    with current_images([CurrentImage(labels_HW=each) for each in labels]):
        return model.encoder.encode_image(make_images(len(labels))).proposals


def test_each_category_of_the_label_map_is_a_region():
    found = proposals_of(oracle(), LABELS, torch.full_like(LABELS, 3))
    assert found.valid_BQ.tolist() == [[True] * 3, [True, False, False]]
    expected = torch.stack([LABELS == 0, LABELS == 2, LABELS == 4])
    assert torch.equal(found.mask_BQhw[0] > 0, expected)
    assert (found.mask_BQhw.abs() == CONFIDENCE).all()


def test_components_can_be_regions_of_their_own():
    found = proposals_of(oracle(connected=True), LABELS)
    sizes = (found.mask_BQhw[0] > 0).sum((1, 2)).tolist()
    assert sizes == [4, 3, 2, 5]


def test_an_image_without_any_label_has_no_region():
    found = proposals_of(oracle(), torch.full_like(LABELS, IGNORE))
    assert found.valid_BQ.tolist() == [[False]]


def test_the_prediction_has_the_borders_of_the_ground_truth():
    model, sample = oracle(), make_sample(4)
    labels = torch.arange(4).repeat_interleave(24)[None].expand(96, 96)
    sample.gt_sem_seg.data = labels[None].clone()
    sample.set_metainfo(dict(ori_shape=(96, 96)))
    (out,) = model(list(make_images(1)), [sample], mode="predict")
    prediction = out.pred_sem_seg.data[0]
    for value in range(4):
        assert len(prediction[labels == value].unique()) == 1


def test_images_without_a_label_map_are_refused():
    sample = make_sample(4)
    del sample.gt_sem_seg
    with pytest.raises(LookupError, match="OracleProposer expects the label map of each of 1"):
        oracle()(list(make_images(1)), [sample], mode="predict")
    with pytest.raises(LookupError, match=r"got 0\. Evaluate"):
        oracle().scores(make_images(1)[0], oracle().encode_vocabulary(make_names(2)))


def test_nobody_else_sees_label_maps():
    """Label maps are stated for encoders that declare it, and one proposer asks for them."""
    samples = [make_sample(3)]
    with current_samples(samples, reads_labels=False), pytest.raises(LookupError):
        current_labels(1, "Somebody")
    with current_samples(samples, reads_labels=True):
        assert torch.equal(current_labels(1, "Oracle")[0], samples[0].gt_sem_seg.data[0])
    with pytest.raises(LookupError, match="Somebody expects the name of each of 1 images, got non"):
        current_names(1, "Somebody")
    assert not Encoder.reads_labels
    root = Path(ovss.__file__).parent
    readers = [p.name for p in root.rglob("*.py") if re.search(r"current_labels\(", p.read_text())]
    assert sorted(readers) == ["current.py", "oracle.py"]
    assert oracle().encoder.reads_labels
    labels_have_no_influence_at_inference(oracle())  # a bound is exempt


def test_bounds_are_refused_before_the_first_image(tmp_path, capsys):
    photo = tmp_path / "photo.png"
    photo.touch()
    assert main(["segment", str(photo), "--words", "a, b", "--model", "oracle_mini"]) == 1
    error = capsys.readouterr().err
    assert "Use `ovss test` with this model." in error
    with pytest.raises(ValueError, match="oracle_mini takes its regions from label maps"):
        ovss.Inferencer("oracle_mini", device="cpu")


def test_times_of_a_bound_are_those_of_images_of_a_dataset(capsys):
    speed = ["benchmark", "speed", "oracle_mini", "--rounds", "1", "--warm-up", "0"]
    assert main([*speed, "--scenes", "1"]) == 0
    assert "encoder alone" in capsys.readouterr().out
    assert main(speed) == 1
    assert "Random images have neither names nor label maps" in capsys.readouterr().err
    assert main([*speed, "--step"]) == 1
    assert "oracle_mini has no parameters to train" in capsys.readouterr().err


def test_tables_mark_upper_bounds():
    assert is_upper_bound(load_config("oracle_mini").model.to_dict())
    assert not is_upper_bound(load_config("maskformer_mini").model.to_dict())
    assert not is_upper_bound(dict(encoder=dict(type="Unknown", proposer=[dict(type=3)])))
    row = dict(
        job=dict(method="oracle_mini", data="mini_150", weights="default"),
        **dict.fromkeys(("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU", "kept", "gflops"), 1.0),
        **dict.fromkeys(("parameters", "learnable", "seconds", "memory", "images"), 1),
        clock="processor",
        made_with=dict(ovss="", torch="", python="", device="", threads=1),
        upper_bound=True,
    )
    assert "oracle_mini (upper bound)" in benchmark_text([row])
