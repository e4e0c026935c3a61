"""Methods give the same scores if the embeddings of their vocabulary are read from files."""

from __future__ import annotations

import pytest
import torch

from ovss import Inferencer
from ovss.encoders import text_cache
from ovss.io.stored_rows import StoredRows
from ovss.structures import Scores
from ovss.testing.tiny import make_images

NAMES = ("red circle", "blue square", "green triangle", "yellow star", "sky", "grass")


@pytest.mark.parametrize("method", ["dcp_clip_mini", "cat_seg_mini", "sed_mini"])
def test_scores_do_not_depend_on_where_the_text_lies(method, tmp_path, monkeypatch):
    monkeypatch.setenv("OVSS_CACHE_DIR", str(tmp_path))
    image_3HW = make_images(1)[0].to(torch.uint8)
    found = []
    for limit in (1 << 30, 0):
        monkeypatch.setattr(text_cache, "held_bytes", lambda device, limit=limit: limit)
        model = Inferencer(method).model
        text = model.encode_vocabulary(NAMES)
        assert isinstance(text.source_TPC, StoredRows) == (limit == 0)
        scores = model.scores(image_3HW, text)
        assert isinstance(scores, Scores)
        found.append((scores.selection.index_BK, scores.probs_BKHW))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
