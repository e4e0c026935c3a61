"""Regions that were computed before and lie in a folder."""

from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np
import torch
from torch import Tensor

from ovss.interfaces import Proposer
from ovss.io.decoding import open_pillow
from ovss.io.names import IMAGE_SUFFIXES, ImageError, printable
from ovss.registry import PROPOSERS
from ovss.structures import ImageFeatures, Proposals

from .binary import binary_proposals, nominal_masks, shapeless
from .current import current_names

USUAL = 50
"""Number of masks of an image when only costs are planned."""

MAX_VALUES = 1 << 30
"""Largest number of values of all masks of an image, 1 GiB."""

MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


@PROPOSERS.register_module()
class FolderProposer(Proposer):
    """Reads the regions of each image from a file that has the image's name.

    For an image ``.../val/street/a.jpg`` the first of these files that exists counts, with
    ``.npy`` before ``.png``: ``FOLDER/val/street/a``, ``FOLDER/street/a``, ``FOLDER/a``, and so on
    for more parent folders.

    ====== ======================================================================================
    .npy   boolean or uint8 array (regions, height, width), for regions that may overlap; other
           values than 0 are inside. No objects, so that reading it runs no code
    .png   one channel of 8 or 16 bits; each value above 0 is a region, 0 belongs to none
    ====== ======================================================================================

    A file covers its whole image, at any resolution. The proposer works at inference on whole
    images, because files do not follow crops and flips.

    Args:
        folder: folder with the files.

    Raises:
        FileNotFoundError: a folder that does not exist.
    """

    needs_whole_image = True
    external = ("folder",)

    def __init__(self, folder: str | None) -> None:
        super().__init__()
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None and not self.folder.is_dir():
            raise FileNotFoundError(
                f"FolderProposer expects a folder with one file for each image, got "
                f"{printable(self.folder)}, which is not a folder. Correct its path."
            )

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        """
        Raises:
            FileNotFoundError: an image without a file, or no folder at all.
            ImageError: a file that cannot be read, or that has another format.
            LookupError: images without names.
            RuntimeError: training.
        """
        if shapeless(image_B3HW):
            return binary_proposals(nominal_masks(image_B3HW, USUAL), features)
        if self.training:
            raise RuntimeError(
                "FolderProposer reads regions of whole images, which do not follow the crops and "
                "flips of training. Train with a proposer that computes its regions."
            )
        names = current_names(image_B3HW.shape[0], "FolderProposer")
        masks = [torch.from_numpy(read_regions(self._file(name))) for name in names]
        return binary_proposals(masks, features)

    def _file(self, name: str) -> Path:
        """File of an image."""
        if self.folder is None:
            raise FileNotFoundError("FolderProposer has no folder. Set its option `folder`.")
        for stem in region_stems(name):
            for suffix in (".npy", ".png"):
                path = self.folder / f"{stem}{suffix}"
                if path.is_file():
                    return path
        last = region_stems(name)[-1]
        raise FileNotFoundError(
            f"Regions of the image {printable(name)} expected in {printable(self.folder)}, found "
            f"neither {printable(last)}.npy nor {printable(last)}.png. Add the file."
        )


def region_stems(name: str) -> list[str]:
    """Paths without suffix at which the file of an image may lie, the most specific first.

    >>> region_stems("data/val/a.jpg")
    ['data/val/a', 'val/a', 'a']
    >>> region_stems("https://host/b.png?size=2")
    ['host/b', 'b']
    """
    text = name.partition("://")[2].partition("?")[0] if "://" in name else name
    path = PurePath(text)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        path = path.with_suffix("")
    parts = [part for part in path.parts if part not in (path.anchor, "..")]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def read_regions(path: Path) -> np.ndarray:
    """Boolean masks (Q, H, W) of a file; see `FolderProposer` for the formats.

    Raises:
        ImageError: a file that cannot be read, or that has another format.
    """
    return _of_array(path) if path.suffix == ".npy" else _of_image(path)


def _of_array(path: Path) -> np.ndarray:
    try:
        # mapped, so that a header that claims more values than the file has is an error
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a file with objects, or a damaged one
        raise ImageError(
            f"{printable(path)}: expected an array without Python objects in a .npy file, got a "
            f"damaged file or another format. Save numpy.stack(masks).astype(bool)"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ImageError(
            f"{printable(path)}: expected one array, got an archive of numpy.savez. Save "
            f"numpy.stack(masks).astype(bool) with numpy.save"
        )
    if array.ndim != 3 or array.dtype not in (np.bool_, np.uint8) or 0 in array.shape[1:]:
        raise ImageError(
            f"{printable(path)}: expected a boolean or uint8 array (regions, height, width), got "
            f"{array.dtype} of shape {array.shape}. Save numpy.stack(masks).astype(bool)"
        )
    _check_amount(path, len(array), array[0].size if len(array) else 0)
    return np.array(array) != 0


def _of_image(path: Path) -> np.ndarray:
    try:
        image = open_pillow(path)
        if image.mode not in MODES:
            raise ImageError(
                f"{printable(path)}: expected one channel of region numbers, got mode "
                f"{image.mode}. Save it as a grey image of 8 or 16 bits"
            )
        number_HW = np.array(image)
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        raise ImageError(f"{printable(path)}: cannot be read ({error})") from error
    values = np.unique(number_HW)
    _check_amount(path, len(values), number_HW.size)
    return number_HW[None] == values[values != 0][:, None, None]


def _check_amount(path: Path, regions: int, pixels: int) -> None:
    """Refuses masks that would need too much memory."""
    if regions * pixels > MAX_VALUES:
        raise ImageError(
            f"{printable(path)}: expected at most {MAX_VALUES:,} values in all masks, got "
            f"{regions:,} regions of {pixels:,} pixels. Save fewer or coarser regions"
        )
