"""What the commands on pages find in their working directory, and what stands for what is large."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from ovss.mini_world import MiniWorld
from ovss.models.weights import WEIGHTS_DIR

ROOT = Path(__file__).resolve().parents[2]

SMALL = {
    "cat_seg_vit-b16": "cat_seg_mini",
    "dcp_clip_vit-b16": "dcp_clip_mini",
    "dpseg_convnext-b": "dpseg_mini",
    "naclip_pamr_vit-b16": "naclip_pamr_mini",
    "naclip_vit-b16": "naclip_mini",
    "maskclip_vit-b16": "maskclip_mini",
    "san_vit-b16": "san_mini",
    "sc_clip_vit-b16": "sc_clip_mini",
    "sclip_vit-b16": "sclip_mini",
    "sed_convnext-b": "sed_mini",
}
"""Method -> the same method at mini scale, whose weights are bundled."""

STAND_INS = {
    "https://host/photo.jpg": "photos/one.jpg",
    "--limit 20": "--limit 2",
    'device="cuda"': 'device="cpu"',
    "/path/to/open_clip_model.safetensors": "mini_clip",
    '"ovss/': f'"{ROOT}/ovss/',
}
"""Text of a page -> text that is run."""

SKIPPED = {
    r"^(\.venv/bin/)?pip |^make |^cd .* && pip|^\. \.venv/|^pytest$": "changes an environment",
    r"demo --web|^tensorboard ": "serves until it is stopped; tests/web has the page",
    r"hf-hub:|--push-to|\bme/": "asks the Hugging Face hub; tests/hub has a server of its own",
    r"--on (ade20k|pascal|coco|cityscapes)|^ovss prepare \w": "needs official files of a benchmark",
    r"^ovss convert": "needs a checkpoint of the authors; tests/parity converts made ones",
    r"_torchrun|dist_train|dist_test|slurm|srun|^torchrun|^ray job|--ray-address|^GPUS|^NNODES":
        "needs several GPUs or a cluster; tests/test_distributed.py starts ranks",
    r"--published": "prints published results, run in tests/results",
}  # fmt: skip
"""Pattern of a line that is never run here -> the reason."""


_FRAMES = ("a/1.jpg", "b/1.jpg")


def stand_in(text: str) -> str:
    """Text with small methods in place of large ones, and files in place of addresses."""
    for old, new in STAND_INS.items():
        text = text.replace(old, new)
    names = "|".join(sorted(map(re.escape, SMALL), key=len, reverse=True))
    pattern = rf"(?<![\w/-])({names})(?=[\s\"',=)\]]|$)"
    return re.sub(pattern, lambda name: SMALL[name[1]], text, flags=re.M)


def fill(folder: Path) -> None:
    """Writes images, a vocabulary, a dataset and weights into a folder."""
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for name in (
        "photo.jpg",
        "photos/one.jpg",
        "photos/two.jpg",
        "more/a.png",
        "a/1.jpg",
        "b/1.jpg",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise_HW3).save(folder / name)
    _write_video(folder / "clip.mp4", noise_HW3)
    _write_list(folder / "urls.parquet")
    scenes = MiniWorld("val", "mini_20", size=96, length=2)
    Image.fromarray(scenes[0].image).save(folder / "scene.png")
    for part in ("images", "masks"):
        (folder / "my_data" / part).mkdir(parents=True)
    for number, scene in enumerate(map(scenes.__getitem__, range(2))):
        Image.fromarray(scene.image).save(folder / "my_data" / "images" / f"{number}.png")
        labels_HW = scene.mask.astype(np.uint8)
        Image.fromarray(labels_HW).save(folder / "my_data" / "masks" / f"{number}.png")
    (folder / "my_data" / "classes.txt").write_text("\n".join(scenes.names) + "\n")
    (folder / "words.txt").write_text("cat\nsofa, couch\ngrass\n")
    for name in ("cat_seg_vit-b16.safetensors", "trained.safetensors"):
        shutil.copy(WEIGHTS_DIR / "cat_seg_mini.safetensors", folder / name)
    (folder / "work_dirs" / "mini").mkdir(parents=True)
    shutil.copy(
        WEIGHTS_DIR / "dcp_clip_mini.safetensors", folder / "work_dirs/mini/weights.safetensors"
    )


def _write_video(path: Path, image_HW3: np.ndarray) -> None:
    """Three frames; nothing without the extra `video`."""
    if importlib.util.find_spec("av") is None:
        return
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.height, stream.width = image_HW3.shape[:2]
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image_HW3, format="rgb24")))
        container.mux(stream.encode())


def _write_list(path: Path) -> None:
    """List of one image; nothing without the extra `label`."""
    if importlib.util.find_spec("pyarrow") is None:
        return
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"path": ["photos/one.jpg"]}), path)
