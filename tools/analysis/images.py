"""Methods side by side on the same scenes: picture, truth, and what each one says.

python tools/analysis/pictures.py cat_seg_mini dcp_clip_mini --out sheet.png
python tools/analysis/pictures.py ablations/dcs.py=work_dirs/dcs/weights.safetensors dcp_clip_mini
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ovss.benchmark.images import data_set
from ovss.data.labels import seen_mask
from ovss.io.drawing import distinct_palette, enlarge_small, overlay
from ovss.io.files import write_atomic
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config
from ovss.structures import IGNORE

PAPER, INK = (255, 255, 255), (20, 20, 20)
LINE, MARGIN = 16, 6


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "methods", nargs="+", metavar="METHOD[=WEIGHTS]", help="config, and weights not its own"
    )
    parser.add_argument("--on", metavar="DATASET", help="another data set than the first method's")
    parser.add_argument("--scenes", type=int, nargs="+", default=range(6), metavar="N")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", default="outputs/pictures.png", metavar="FILE")
    args = parser.parse_args(argv)

    data = data_set(load_config(args.methods[0].partition("=")[0]), args.on)
    wrong = [i for i in args.scenes if not 0 <= i < len(data)]
    if wrong:
        parser.error(f"scenes are 0..{len(data) - 1}, got {wrong}")
    samples = [data[i] for i in args.scenes]
    told = {"truth": [s["data_samples"].gt_sem_seg.data[0].numpy() for s in samples]}
    for method in args.methods:
        name, _, weights = method.partition("=")
        model = build_segmentor(load_config(name), weights or "default", device=args.device)
        text = model.encode_vocabulary(data.names)
        told[Path(name).stem] = [label_map(model, s, text, args.device) for s in samples]
        print(f"{method}: {len(samples)} scenes", flush=True)
    images = [s["inputs"].permute(1, 2, 0).numpy().astype(np.uint8) for s in samples]
    picture = sheet(images, told, data.names, seen_mask(data.names, data.seen))
    write_atomic(args.out, partial(picture.save, format="png"))
    print(args.out)


@torch.inference_mode()
def label_map(model, sample: dict, text, device: str) -> np.ndarray:
    """(H, W) of one sample."""
    image_3HW = sample["inputs"].to(device)
    return model.label_map(model.scores(image_3HW, text), image_3HW.shape[-2:]).cpu().numpy()


def sheet(images: list, told: dict[str, list], names: tuple[str, ...], seen_T) -> Image.Image:
    """One row a scene: the picture, then a tinted one under each heading of `told`.

    Under each: its largest categories in their colours (unseen ones with a star), and, but under
    the truth, how many pixels of 100 with a label are right.
    """
    rows = []
    for index, image_HW3 in enumerate(images):
        maps = {heading: labels[index] for heading, labels in told.items()}
        shown = [t for t in order_of(list(maps.values())) if t != IGNORE]
        colors_T3 = distinct_palette(len(names), shown)
        cells = [cell("picture", image_HW3, [])]
        for heading, labels_HW in maps.items():
            tinted = overlay(image_HW3, np.where(labels_HW == IGNORE, 0, labels_HW), colors_T3)
            lines = [
                (names[t] + ("" if seen_T[t] else " *"), tuple(map(int, colors_T3[t])))
                for t in order_of([labels_HW])[:5]
                if t != IGNORE
            ]
            known_HW = maps["truth"] != IGNORE
            right = (labels_HW == maps["truth"])[known_HW].mean() * 100
            title = heading if heading == "truth" else f"{heading}  {right:.1f}"
            cells.append(cell(title, np.asarray(tinted), lines))
        rows.append(beside(cells))
    width = max(row.width for row in rows)
    page = Image.new("RGB", (width, sum(row.height for row in rows)), PAPER)
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height
    return page


def order_of(maps: list[np.ndarray]) -> list[int]:
    """Categories of label maps, the largest first."""
    found, counts = np.unique(np.stack(maps), return_counts=True)
    return [int(found[i]) for i in np.argsort(-counts, kind="stable")]


def cell(title: str, image_HW3: np.ndarray, lines: list[tuple[str, tuple]]) -> Image.Image:
    """A picture under its title, over lines with a colour each."""
    picture = Image.fromarray(enlarge_small(image_HW3))
    font = ImageFont.load_default(12)
    box = Image.new(
        "RGB",
        (picture.width + MARGIN, picture.height + LINE * (2 + 5) + MARGIN),
        PAPER,
    )
    draw = ImageDraw.Draw(box)
    draw.text((2, 0), title, INK, font)
    box.paste(picture, (0, LINE))
    for index, (name, color) in enumerate(lines):
        top = LINE + picture.height + 2 + index * LINE
        draw.rectangle((2, top + 2, 12, top + 12), fill=color)
        draw.text((18, top), name, INK, font)
    return box


def beside(cells: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (sum(c.width for c in cells), max(c.height for c in cells)), PAPER)
    left = 0
    for picture in cells:
        row.paste(picture, (left, 0))
        left += picture.width
    return row


if __name__ == "__main__":
    main()
