"""Pixels that no region covers are unknown in `ovss segment`."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ovss import Inferencer


def test_pixels_outside_of_all_regions_are_unknown(tmp_path):
    numbers = np.zeros((90, 120), np.uint8)
    numbers[:40, 30:], numbers[50:, :60] = 1, 2
    (tmp_path / "masks").mkdir()
    Image.fromarray(numbers).save(tmp_path / "masks" / "scene.png")
    rgb = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "scene.png")
    proposer = f"dict(_delete_=True, type='FolderProposer', folder={str(tmp_path / 'masks')!r})"
    config = f"_base_ = ['oracle_mini.py']\nmodel = dict(encoder=dict(proposer={proposer}))\n"
    (tmp_path / "folder_mini.py").write_text(config)
    run = Inferencer(str(tmp_path / "folder_mini.py"), device="cpu")
    label_map = run(tmp_path / "scene.png", "circle, square, wall").label_map
    assert np.array_equal(label_map == -1, numbers == 0)
    for number in (1, 2):
        assert len(np.unique(label_map[numbers == number])) == 1
