"""The example's converter: found once installed; masks equal those of the authors' decoder."""

from __future__ import annotations

import json
import sys
import zlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.cli import main
from ovss.io.weight_files import read_weights
from ovss.models.conversion import convertible
from ovss.registry import DECODERS
from ovss.selection import Selection
from ovss.structures import Alignment, ImageFeatures, TextFeatures

DIM, DEPTH, HEADS = 16, 2, 8


@pytest.fixture
def installed(repo_root, tmp_path, monkeypatch):
    """The example package, as pip would lay it out."""
    info = tmp_path / "site" / "ovss_attention_masks-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: ovss-attention-masks\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text(
        "[ovss.plugins]\nattention_masks = ovss_attention_masks\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(repo_root / "examples" / "third_party_method"))
    before = set(DECODERS.module_dict), set(sys.modules)
    yield
    for name in set(DECODERS.module_dict) - before[0]:
        DECODERS.module_dict.pop(name)
    for name in set(sys.modules) - before[1]:
        if name.partition(".")[0] == "ovss_attention_masks":
            sys.modules.pop(name)


def published() -> dict[str, Tensor]:
    """A small state dict with the names of the authors' checkpoints."""
    shapes = {"decode_head.q_proj": (DIM, 2 * DIM)}
    for layer in range(DEPTH):
        root = f"decode_head.decoder_1.layers.{layer}"
        for part in ("q", "k", "v", "proj"):
            shapes[f"{root}.multihead_attn.{part}"] = (DIM, DIM)
        shapes |= {f"{root}.linear1": (4 * DIM, DIM), f"{root}.linear2": (DIM, 4 * DIM)}
        shapes |= {f"{root}.norm{i}": (DIM,) for i in (1, 2, 3)}
        shapes[f"{root}.self_attn.out_proj"] = (DIM, DIM)
    tensors = {}
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = torch.randn(shape)
        tensors[f"{name}.bias"] = torch.randn(shape[0])
    rest = ("backbone.proj", "text_encoder.ln_final.weight", "decode_head.loss_decode.criterion.e")
    return tensors | {name: torch.zeros(2) for name in rest}


def plain_masks(tensors: dict[str, Tensor], text_TC: Tensor, image: ImageFeatures) -> Tensor:
    """Mask logits (T, N) of the last layer, written from the paper and the layout alone."""

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (DIM,), tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    cells_NC = F.normalize(image.dense_BChw[0].flatten(1).T, dim=1)
    pooled_C = F.normalize(image.pooled_BC[0], dim=0)
    x = linear(torch.cat([text_TC * pooled_C, text_TC], dim=1), "decode_head.q_proj")
    for layer in range(DEPTH):
        root = f"decode_head.decoder_1.layers.{layer}"
        attention = f"{root}.multihead_attn"
        query, key, value = (
            linear(part, f"{attention}.{name}").unflatten(1, (HEADS, -1)).transpose(0, 1)
            for name, part in (("q", x), ("k", cells_NC), ("v", cells_NC))
        )
        logits_hTN = query @ key.transpose(1, 2) / (DIM / HEADS) ** 0.5
        seen = (logits_hTN.softmax(2) @ value).transpose(0, 1).flatten(1)
        x = norm(x + linear(seen, f"{attention}.proj"), f"{root}.norm2")
        inner = linear(x, f"{root}.linear1").relu()
        x = norm(x + linear(inner, f"{root}.linear2"), f"{root}.norm3")
    return logits_hTN.mean(0)


def test_a_converted_decoder_computes_the_authors_masks(installed, tmp_path, capsys):
    assert "attention_masks" in convertible()
    tensors = published()
    torch.save({"meta": {}, "state_dict": tensors}, tmp_path / "iter_20000.pth")
    target = tmp_path / "decoder.safetensors"
    assert main(["convert", "attention_masks", str(tmp_path / "iter_20000.pth"), str(target)]) == 0
    output = capsys.readouterr().out
    assert "dropped backbone.proj: the image tower has deep prompts" in output
    assert "layers.1.self_attn.out_proj.bias: the authors' code never calls it" in output

    from ovss_attention_masks import AttentionToMaskDecoder

    options = {"project_cells": False, "average_heads": True, "factor": 1}
    decoder = AttentionToMaskDecoder(DIM, DIM, layers=DEPTH, heads=HEADS, **options).eval()
    found, _ = read_weights(target)
    decoder.load_state_dict({name.removeprefix("decoder."): x for name, x in found.items()})
    image = ImageFeatures(torch.randn(1, DIM, 3, 4), torch.randn(1, DIM))
    text_TC = F.normalize(torch.randn(5, DIM), dim=1)
    text, everything = TextFeatures(text_TC[:, None]), Selection.everything(1, 5)
    cost_BKDhw = torch.zeros(1, 5, 1, 3, 4)
    with torch.no_grad():
        masks = decoder(Alignment(cost_BKDhw, image, text, everything))
    expected_TN = plain_masks(tensors, text_TC, image)
    torch.testing.assert_close(masks.logits_BKHW[0].flatten(1), expected_TN, rtol=1e-4, atol=1e-4)


def test_queries_are_those_of_the_authors_code(installed, shared_dir):
    """Against an output of their modules, on weights that follow from a formula."""
    folder = shared_dir / "golden" / "zegclip_vitb16"
    case = json.loads((folder / "case.json").read_text())
    with np.load(folder / "outputs.npz") as file:
        pooled_C, expected_TC = (torch.from_numpy(file[name]) for name in ("cls", "query_in"))

    def drawn(name: str, *shape: int) -> Tensor:
        state = np.random.RandomState(zlib.crc32(name.encode()))
        return torch.from_numpy(state.standard_normal(shape).astype(np.float32))

    from ovss_attention_masks.convert import convert

    tensors = {
        name: drawn(name, *shape)
        for name, shape in case["state_dict"].items()
        if name.startswith("decode_head.")
    }
    tensors["decode_head.q_proj.bias"] *= 0.02  # the formula's scale of a bias
    found = convert(tensors).tensors
    text_TC = torch.stack([F.normalize(drawn(f"text:{n}", 512), dim=0) for n in case["names"]])
    descriptor = torch.cat([512 * text_TC * pooled_C, 512**0.5 * text_TC], dim=1)
    ours = F.linear(descriptor, found["decoder.words.weight"], found["decoder.words.bias"])
    torch.testing.assert_close(ours, expected_TC, rtol=1e-4, atol=1e-4)
