"""Methods that compare regions: files of regions, options of their components, and swaps."""

from __future__ import annotations

import io
import math
import os
import pickle
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.data.made_folder import label_map, made

from .cases import ACCEPTED, ANYTHING, DENIED, EITHER, REFUSED, Box, Call
from .configs import CONFIGS, _written
from .datasets import DATASETS
from .images import IMAGES, encoded, image_of
from .material import SEGMENT
from .odd import VALUES, damaged
from .overrides import OVERRIDES, TEXT_VALUES
from .weights import Payload

REGIONS = """
custom_imports = dict(imports=["ovss.testing"])
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="WithProposals",
        encoder=dict(
            type="TinyEncoder", joint_dim=8, patch=8, image_size=48, level_dims=(4, 4)
        ),
        proposer=dict(
            type="QueryProposer", joint_dim=8, level_dims=(4, 4), dim=8, queries=3, layers=2,
            heads=2, expand=2, stem_dims=(4,), embedding="residual",
        ),
        embedders=[dict(type="DensePool")],
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead", joint_dim=8, scales=(20.0, 30.0), learn_scale=True,
        ensemble=dict(seen=(0.6, 0.4), unseen=(0.2, 0.8)), seen=["cat"],
    ),
    decoder=dict(type="ComposeDecoder"),
    criterion=dict(type="set_matching", points=16),
    prompts=dict(templates="single"),
    inference=dict(mode="whole", size=48, activation="none"),
)
"""
"""Small method that compares regions; it is built and runs in milliseconds."""

FOUND = """
model["encoder"]["embedders"] = [dict(type="DensePool")]
model["head"] = dict(type="RegionHead", joint_dim=8, scales=(20.0,), void="none")
model["encoder"]["proposer"] = """
"""Lines that replace the proposer by one without embeddings; its config comes last."""


def _segment(
    box: Box, statuses: frozenset[int], *names: str, options: tuple[str, ...] = ()
) -> Call:
    box.write("a.png", encoded(image_of("RGB"), "PNG"))
    flags = ("--weights", "none", *(("--cfg-options", *options) if options else ()))
    return Call(("segment", "a.png", *SEGMENT, "--model", "regions.py", *flags), statuses, names)


def _from_folder(box: Box, statuses: frozenset[int], *names: str) -> Call:
    """Segments an image whose regions lie in the folder `found`."""
    (box.folder / "found").mkdir(exist_ok=True)
    box.write("regions.py", REGIONS + FOUND + "dict(type='FolderProposer', folder='found')\n")
    return _segment(box, statuses, *names)


def _npy(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def _header(text: str) -> bytes:
    """File .npy of a header and eight bytes."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(8)


MASKS = np.arange(2 * 3 * 4).reshape(2, 3, 4) % 3 == 0


@IMAGES.each(
    [
        MASKS, MASKS[:0], MASKS.astype(np.uint8) * 255, np.asfortranarray(MASKS), MASKS & False,
        np.ones((1, 1, 1), bool), np.ones((5, 200, 3), np.uint8), MASKS[:, ::2],
    ]
)  # fmt: skip
def regions_of_an_image(box: Box, value: np.ndarray) -> Call:
    box.write("found/a.npy", _npy(value))
    return _from_folder(box, ACCEPTED)


@IMAGES.each(
    [
        MASKS.astype(float), MASKS.astype(np.int64), np.full((2, 3, 4), np.nan), MASKS[0],
        MASKS[None], np.zeros((2, 0, 4), bool), np.zeros((2, 3, 0), bool), np.array(True),
        MASKS.astype(complex), np.zeros((1, 2, 2), [("a", bool)]), np.zeros((1, 2, 2), "M8[s]"),
        np.full((1, 2, 2), "x"), np.full((1, 2, 2), None), np.array([[[Payload()]]], object),
        MASKS.astype(">i2"), np.zeros((0,), bool),
    ]
)  # fmt: skip
def other_array_of_regions(box: Box, value: np.ndarray) -> Call:
    box.write("found/a.npy", _npy(value))
    return _from_folder(box, REFUSED, "a.npy")


def _archive(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@IMAGES.each(
    [
        b"", b"\0", b"text", b"\x93NUMPY", b"\x93NUMPY\x09\x00", pickle.dumps([1]),
        pickle.dumps(Payload()), _archive(masks=MASKS), _archive(), _archive(masks=MASKS)[:60],
        _npy(MASKS)[:-1], _npy(MASKS)[:40], _header("{"), _header("3\n"),
        _header("__import__('os')"),
        _header("{'descr': '|b1', 'fortran_order': False, 'shape': (4, 90000, 90000)}\n"),
        _header("{'descr': '|b1', 'fortran_order': False, 'shape': (-1, 2, 2)}\n"),
        _header("{'descr': '|b1', 'fortran_order': 3, 'shape': 'x'}\n"),
        _header("{'descr': 'nothing', 'fortran_order': False, 'shape': (1, 2, 2)}\n"),
        _header("{'descr': '|b1', 'fortran_order': False, 'shape': (9" + "9" * 30 + ", 2, 2)}\n"),
    ]
)  # fmt: skip
def file_of_regions_that_is_none(box: Box, content: bytes) -> Call:
    box.write("found/a.npy", content)
    return _from_folder(box, REFUSED, "a.npy")


@IMAGES.each(range(6))
def damaged_regions(box: Box, number: int) -> Call:
    name = ("a.npy", "a.png")[number % 2]
    content = _npy(MASKS) if number % 2 == 0 else encoded(image_of("L"), "PNG")
    box.write(f"found/{name}", damaged(content, box.random))
    return _from_folder(box, EITHER, name)


@IMAGES.each(["1", "L", "P", "I;16", "RGB", "RGBA", "LA"])
def image_with_regions(box: Box, mode: str) -> Call:
    box.write("found/a.png", encoded(image_of(mode), "PNG"))
    statuses = REFUSED if mode in ("RGB", "RGBA", "LA") else ACCEPTED
    return _from_folder(box, statuses, "a.png")


@IMAGES.each(["none", "folder", "fifo", "dangling", "loop", "link", "image", "unreadable"])
def place_of_regions(box: Box, kind: str) -> Call:
    box.write("found/b.npy", _npy(MASKS))
    path = box.folder / "found/a.npy"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind in ("dangling", "loop"):
        path.symlink_to("absent.npy" if kind == "dangling" else path.name)
    elif kind == "link":
        path.symlink_to("b.npy")
    elif kind == "image":
        box.write("found/a.npy", encoded(image_of("L"), "PNG"))
    elif kind == "unreadable":
        path.write_bytes(_npy(MASKS))
        path.chmod(0)
    statuses = {"link": ACCEPTED, "unreadable": EITHER}.get(kind, REFUSED)
    return _from_folder(box, statuses, "a.npy")


@CONFIGS.each(["absent", "", "a.png", "\0", "x" * 300, "a\nb", ".", "~", None, 3])
def folder_of_regions(box: Box, folder: Any) -> Call:
    box.write("regions.py", REGIONS + FOUND + f"dict(type='FolderProposer', folder={folder!r})\n")
    return _segment(box, REFUSED)


KEYS = (
    "model.encoder.encoder", "model.encoder.encoder.level_dims", "model.encoder.proposer",
    "model.encoder.proposer.type", "model.encoder.proposer.joint_dim",
    "model.encoder.proposer.level_dims", "model.encoder.proposer.dim",
    "model.encoder.proposer.queries", "model.encoder.proposer.layers",
    "model.encoder.proposer.heads", "model.encoder.proposer.expand",
    "model.encoder.proposer.stem_dims", "model.encoder.proposer.embedding",
    "model.encoder.embedders", "model.encoder.embed_in_training", "model.head.joint_dim",
    "model.head.scales", "model.head.learn_scale", "model.head.max_scale", "model.head.normalize",
    "model.head.void", "model.head.void_std", "model.head.trained", "model.head.templates",
    "model.head.ensemble", "model.head.ensemble.seen", "model.head.ensemble.unseen",
    "model.head.ensemble.softmax", "model.head.ensemble.first_void",
    "model.head.ensemble.product_floor", "model.head.ensemble.floor", "model.head.ensemble.empty",
    "model.head.seen", "model.decoder.merge_at_input", "model.criterion",
    "model.criterion.class_weight", "model.criterion.mask_cost", "model.criterion.no_object",
    "model.criterion.mask_loss", "model.criterion.points", "model.criterion.oversample",
    "model.criterion.importance", "model.criterion.similarity_weight",
)  # fmt: skip


@CONFIGS.each(KEYS)
def key_of_regions(box: Box, path: str) -> Call:
    box.write("regions.py", REGIONS + _written(path, box.random.choice(VALUES[:20])))
    return _segment(box, EITHER)


@OVERRIDES.each(KEYS)
def of_regions(box: Box, path: str) -> Call:
    box.write("regions.py", REGIONS)
    return _segment(box, ANYTHING, options=(f"{path}={box.random.choice(TEXT_VALUES)}",))


INF, NAN = "float('inf')", "float('nan')"


@CONFIGS.each(
    [
        ("proposer.queries", "0"), ("proposer.layers", "-1"), ("proposer.heads", "3"),
        ("proposer.level_dims", "(4,)"), ("proposer.level_dims", "()"), ("proposer.dim", "0"),
        ("proposer.level_dims", "(4, 5)"), ("proposer.joint_dim", "9"),
        ("proposer.stem_dims", "(0,)"), ("proposer.embedding", "'none'"), ("embedders", "[]"),
        ("embedders", "[dict(type='Nothing')]"), ("embedders", "[dict(type='CropEmbedder')]"),
        ("embedders", "[dict(type='MaskTokens')]"), ("embedders", "[dict(type='DensePool')] * 2"),
        ("embedders", "[None]"), ("embedders", "dict(type='DensePool')"),
        ("embedders", "[dict(type='CropEmbedder', mask_prompts=(1, 2))]"),
        ("proposer", "dict(type='OracleProposer')"), ("proposer", "dict(type='KeepAll')"),
        ("proposer", "dict(type='SAMProposer', model='vit_x')"),
        ("proposer", "dict(type='SAMProposer', checkpoint='absent.pth')"),
        ("proposer", "dict(type='SuperpixelProposer', regions=0)"),
        ("proposer", "dict(type='SuperpixelProposer', compactness=-1.0)"),
        ("proposer", f"dict(type='SuperpixelProposer', compactness={NAN})"),
        ("proposer", f"dict(type='SuperpixelProposer', sigma={INF})"),
        ("proposer", "dict(type='SuperpixelProposer', longest=0)"),
        ("proposer", "dict(type='MaskFormerProposer', joint_dim=8, level_dims=(4, 4), queries=0)"),
        ("proposer", "dict(type='MaskFormerProposer', joint_dim=8)"),
        ("proposer", "dict(type='MaskFormerProposer', backbone=dict(type='x'))"),
        ("proposer", "dict(type='MaskFormerProposer', backbone=dict(type='SwinTransformer'))"),
        ("proposer", "dict(type='MaskFormerProposer', backbone=3)"),
        *(("proposer", f"dict(type='Mask2FormerProposer', joint_dim=8, level_dims=(4, 4), {each})")
          for each in ("queries=0", "dim=30", "heads=7", "layers=-1", "points=0", "groups=0",
                       "pixel_layers=-1", "feedforward=0", "pixel_feedforward=0", "dim=0",
                       "class_hidden=(0,)", "class_embedding='x'", "groups=7", "heads=0",
                       "mask_scale=0")),
        ("proposer", "dict(type='Mask2FormerProposer', joint_dim=8, level_dims=())"),
        ("proposer", "dict(type='Mask2FormerProposer', joint_dim=8, level_dims=(4,))"),
        ("encoder", "dict(type='WithProposals')"), ("encoder", "dict(type='TinyEncoder')"),
        ("encoder", "{}"),
    ]
)  # fmt: skip
def wrong_source_of_regions(box: Box, pair: tuple[str, str]) -> Call:
    *keys, last = pair[0].split(".")
    place = "".join(f"[{key!r}]" for key in keys)
    box.write("regions.py", f"{REGIONS}model['encoder']{place}[{last!r}] = {pair[1]}\n")
    return _segment(box, REFUSED)


@CONFIGS.each(
    [
        "joint_dim=0", "joint_dim=9", "scales=()", "scales=(20.0,)", "scales=(0.0, 1.0)",
        "scales=(-1.0, 1.0)", f"scales=({NAN}, 1.0)", f"scales=({INF}, 1.0)", "scales=20.0",
        "scales=('a', 'b')", f"max_scale={INF}, learn_scale=False, scales=({INF}, {INF})",
        "max_scale=0.0", "normalize=()", "normalize=(True,) * 3", "void='x'", "void_std=-1.0",
        f"void_std={INF}", "trained=0", "trained=2", "trained=3", "templates=(1,)",
        "templates=(0, 1)", "templates=(2, 3)", "ensemble={}", "ensemble=dict(seen=())",
        "ensemble=dict(seen=(1.0,), unseen=(1.0,))", "ensemble=dict(seen=(), unseen=())",
        "ensemble=dict(seen=(1.0, -1.0), unseen=(1.0, 1.0))",
        f"ensemble=dict(seen=(1.0, {NAN}), unseen=(1.0, 1.0))",
        f"ensemble=dict(seen=(1.0, {INF}), unseen=(1.0, 1.0))",
        "ensemble=dict(seen=('a', 'b'), unseen=(1.0, 1.0))",
        "ensemble=dict(seen=(1.0, 1.0), unseen=(1.0, 1.0), softmax=('x',))",
        "ensemble=dict(seen=(1.0, 1.0), unseen=(1.0, 1.0), softmax=())",
        f"ensemble=dict(seen=(1.0, 1.0), unseen=(1.0, 1.0), floor={INF})",
        "ensemble=dict(seen=(1.0, 1.0), unseen=(1.0, 1.0), empty='x')",
        "ensemble=dict(sene=(1.0, 1.0))", "ensemble=3", "seen='absent.txt'", "seen=[3]",
        "seen=['cat', '']", "more=1",
    ]
)  # fmt: skip
def wrong_region_head(box: Box, options: str) -> Call:
    box.write("regions.py", f"{REGIONS}model['head'] = {{**model['head'], **dict({options})}}\n")
    return _segment(box, REFUSED)


def _loss(box: Box, options: str, empty: bool) -> tuple[object, Any]:
    """Function that trains one step, and the losses that it leaves."""
    found: dict[str, float] = {}

    def run() -> None:
        from ovss import load_config
        from ovss.models.build import build_segmentor
        from ovss.structures import IGNORE
        from ovss.testing.tiny import make_images, make_sample

        config = load_config("regions.py")
        model = build_segmentor(config, None).train()
        samples = [make_sample(5, 48), make_sample(5, 48)]
        if empty:
            samples[0].gt_sem_seg.data = torch.full_like(samples[0].gt_sem_seg.data, IGNORE)
        losses = model(list(make_images(2, 48)), samples, mode="loss")
        sum(losses.values()).backward()
        found.update({name: float(value.detach()) for name, value in losses.items()})
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        found["gradient"] = float(sum(each.abs().sum() for each in gradients))

    def check(_: Any) -> str:
        wrong = [name for name, value in found.items() if not math.isfinite(value)]
        return f"losses that are not finite: {', '.join(wrong)}" if wrong else ""

    box.write("regions.py", f"{REGIONS}model['criterion'].update({options})\n")
    return run, check


@CONFIGS.each(
    [
        "class_weight=-1.0", f"class_weight={NAN}", f"class_weight={INF}", f"mask_cost={INF}",
        f"dice_cost={NAN}", f"no_object={INF}", "no_object=-0.1", "mask_loss='x'", "points=0",
        "points=-1", "points=1.5", "oversample=0.5", f"oversample={INF}", "importance=1.1",
        f"importance={NAN}", "similarity_weight=-1.0", "type='nothing'", "more=1",
        "type='bce'",
    ]
)  # fmt: skip
def wrong_set_matching(box: Box, options: str) -> Call:
    run, check = _loss(box, f"dict({options})", False)
    return Call(run, REFUSED, check=check)  # type: ignore[arg-type]


@DATASETS.each(
    [
        "", "points=None", "points=1", "points=1, oversample=1.0, importance=0.0", "importance=1.0",
        "mask_loss='focal'", "no_object=0.0", "class_weight=0.0, mask_weight=0.0, dice_weight=0.0",
        "class_cost=0.0, mask_cost=0.0, dice_cost=0.0", "similarity_weight=1.0",
    ]
)  # fmt: skip
def training_without_regions(box: Box, options: str) -> Call:
    """A batch of which one image has no labels, and more categories than proposals."""
    run, check = _loss(box, f"dict({options})", True)
    return Call(run, ACCEPTED, check=check)  # type: ignore[arg-type]


@DATASETS.each(["OracleProposer", "QueryProposer"])
def regions_without_labels(box: Box, kind: str) -> Call:
    """An evaluation on label maps without a single label."""
    made(box.folder / "data")
    for name in ("a", "b"):
        label_map(box.folder / f"data/masks/{name}.png", (255,) * 4)
    box.write("train.py", (box.base / "train.py").read_bytes())
    content = REGIONS.replace("model = dict(", "model = dict(\n    _delete_=True,")
    found = FOUND + f"dict(type={kind!r})\n" if kind == "OracleProposer" else ""
    box.write("regions.py", f"_base_ = ['train.py']\n{content}{found}")
    flags = ("--data", "data", "--work-dir", "wd", "--out", "r.json")
    return Call(("test", "regions.py", "none", *flags), EITHER, ("data", "label"), (), ("r.json",))


@OVERRIDES.each(
    [
        ("model.decoder={'type': 'UpsampleDecoder'}", "RegionHead"),
        ("model.head={'type': 'CosineHead'}", "RegionHead"),
        ("model.head={'type': 'CosineHead', '_delete_': True}", "ComposeDecoder"),
        ("model.encoder={'type': 'TinyEncoder', 'joint_dim': 8}", "WithProposals"),
        ("model.criterion={'type': 'bce'}", "set_matching"),
        ("model.criterion={'type': 'cross_entropy'}", "set_matching"),
        ("model.inference.activation=sigmoid", "activation"),
        ("model.inference.activation=softmax", "activation"),
        ("model.inference.merge=logits", "activation"),
        ("model.encoder.proposer={'type': 'OracleProposer'}", "OracleProposer"),
        ("model.encoder.proposer.joint_dim=16", "joint_dim"),
        ("model.encoder.encoder.joint_dim=16", "joint_dim"),
        ("model.head.joint_dim=16", "joint_dim"),
        ("model.encoder.encoder.level_dims=(4,4,4)", "level_dims"),
        ("model.encoder.embedders=[]", "scales"),
        ("model.head.trained=2", "embed_in_training"),
        ("model.prompts.synonyms=nothing", "synonyms"),
        ("model.encoder.proposer.embeding=query", "embedding"),
        ("model.head.ensemble.sene=(1.0,1.0)", "seen"),
        ("model.criterion.pionts=3", "points"),
    ]
)  # fmt: skip
def swap_of_regions(box: Box, pair: tuple[str, str]) -> Call:
    box.write("regions.py", REGIONS)
    return _segment(box, DENIED, pair[1], options=(pair[0],))


@IMAGES.each([(1, 1), (2, 3), (1, 300), (300, 1), (31, 33), (48, 48)])
def size_of_an_image_with_regions(box: Box, size: tuple[int, int]) -> Call:
    """An image smaller than a cell, or of another shape than the canvas."""
    box.write("regions.py", REGIONS)
    call = _segment(box, ACCEPTED)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    box.write("a.png", buffer.getvalue())
    return call
