"""Measures exported models against the models that they were made from.

    .venv/bin/python tools/export_table.py naclip_mini cat_seg_mini

Each method is exported and run on one thread, in turns with the model itself, on one image. The
table is Markdown: milliseconds of a whole image with its label map (median of the rounds), their
ratio, the largest difference of a score, and whether both keep the same categories.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ovss.api.inferencer import Inferencer
from ovss.export.arrays import Maps, labels_at
from ovss.export.run import ExportedModel
from ovss.export.text_table import TextTable
from ovss.export.write import export_model
from ovss.inference import best_labels
from ovss.io.images import to_rgb
from ovss.mini_world import MiniWorld
from ovss.structures import Scores, TextFeatures
from ovss.vocabularies import load_names

MINI_VOCABULARY = load_names("mini_556")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("methods", nargs="+", metavar="METHOD")
    parser.add_argument("--names", type=int, nargs="+", default=[5, 150, 556, 2000], metavar="T")
    parser.add_argument("--image", help="image file (default: a scene of the mini world)")
    parser.add_argument("--image-size", type=int, nargs=2, default=(480, 640), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--backend", default="onnxruntime")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| method | categories | kept | model, ms | exported, ms | ratio | difference | same |")
    print("|---|---|---|---|---|---|---|---|")
    for name in args.methods:
        is_mini = name.endswith("_mini")
        side = 96 if is_mini else 512
        source = args.image or MiniWorld("val", "mini_20", size=side, length=1)[0].image
        method = Inferencer(
            name,
            device="cpu",
            weights="default" if is_mini else None,
            overrides={} if is_mini else {"model.encoder.pretrained": None},
        )
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / name
            size = (args.image_size[0], args.image_size[1])
            export_model(method, folder, "cat, dog", image_size=size, text_encoder=False)
            exported = ExportedModel(folder, threads=1, backend=args.backend)
            for count in args.names:
                print(row(method, exported, to_rgb(source), count, args.rounds), flush=True)


def row(
    method: Inferencer, exported: ExportedModel, image_HW3: np.ndarray, count: int, rounds: int
) -> str:
    """Line of the table for one number of categories."""
    text = example_text(method, count)
    assert text.vocabulary is not None
    table = TextTable(text.vocabulary.names, 0, text.vocabulary, text.embeds_TPC.numpy())
    size = (image_HW3.shape[0], image_HW3.shape[1])
    image_3HW = torch.from_numpy(image_HW3).permute(2, 0, 1)

    def by_model() -> Any:
        with torch.inference_mode():
            scores = method.model.scores(image_3HW, text)
            best_labels(scores, size)
        return scores

    def by_export() -> Any:
        scores = exported.scores(image_HW3, table)
        labels_at(scores, size)
        return scores

    expected, found = by_model(), by_export()
    pairs = [(seconds(by_model), seconds(by_export)) for _ in range(rounds)]
    model_ms, export_ms = (1000 * statistics.median(each) for each in zip(*pairs, strict=True))
    same = found.index_K.tolist() == expected.selection.index_BK[0].tolist()
    values = expected.probs_BKHW if isinstance(expected, Scores) else expected.share_BKQ
    own = found.values_KYX if isinstance(found, Maps) else found.share_KQ
    difference = f"{np.abs(values[0].numpy() - own).max():.0e}" if same else ""
    cells = (method.name, count, len(found.index_K), f"{model_ms:.0f}", f"{export_ms:.0f}",
             f"{model_ms / export_ms:.2f}", difference, "yes" if same else "no")  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def seconds(function: Callable[[], Any]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def example_text(method: Inferencer, count: int) -> TextFeatures:
    """Embeddings of the mini world's names where the model knows them, then random ones."""
    names = MINI_VOCABULARY[:count]
    names += tuple(f"thing {index}" for index in range(count - len(names)))
    vocabulary = method.model.vocabulary(names).queries()
    shape = (count, method.model.prompts.count, method.model.encoder.joint_dim)
    embeds_TPC = F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(5)), dim=2)
    if method.name.endswith("_mini"):
        known = names[: min(count, len(MINI_VOCABULARY))]
        embeds_TPC[: len(known)] = method.encode(known).embeds_TPC
    return TextFeatures(embeds_TPC, vocabulary=vocabulary)


if __name__ == "__main__":
    main()
