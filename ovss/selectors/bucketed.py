from __future__ import annotations

from torch import Tensor

from ovss.interfaces import Selector
from ovss.io.option_values import check_range
from ovss.registry import SELECTORS
from ovss.structures import ImageFeatures, Selection, TextFeatures


@SELECTORS.register_module()
class Bucketed(Selector):
    """Rounds the number of slots of another selector up, so that later parts see few shapes.

    A selector that decides by the image gives another number of slots for every image. CUDA graphs
    and ``torch.compile`` work for one shape each. Here K takes one of a few sizes, and the rest is
    padding, which changes no label. Components that treat every (image, category) pair alone
    compute the padding too, see `Selection.pairs`, so that their shapes depend on K only. Heads and
    decoders that compare the categories of an image with each other still leave padding out.

    In training the selection stays as it is.

    Args:
        selector: config of the selector.
        sizes: numbers of slots, ascending. A larger number becomes a multiple of the last one; no
            number exceeds the size of the vocabulary.

    Raises:
        ValueError: sizes that are not ascending, or below 1.
    """

    def __init__(
        self, selector: dict, sizes: tuple[int, ...] = (8, 16, 24, 32, 48, 64, 96, 128)
    ) -> None:
        super().__init__()
        check_range("Bucketed", 1, sizes=min(sizes, default=0))
        if sorted(set(sizes)) != list(sizes):
            raise ValueError(
                f"Bucketed expects sizes in ascending order, each once, got {sizes}. Sort them."
            )
        self.selector = SELECTORS.build(selector)
        self.sizes = tuple(sizes)

    def forward(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None = None
    ) -> Selection:
        selection = self.selector(image, text, keep_BT)
        if self.training:
            return selection
        return selection.padded_to(
            min(self.slots(selection.index_BK.shape[1]), text.embeds_TPC.shape[0])
        )

    def slots(self, kept: int) -> int:
        """Number of slots for a number of kept categories.

        >>> bucketed = Bucketed(dict(type="KeepAll"), sizes=(4, 8))
        >>> [bucketed.slots(kept) for kept in (1, 4, 5, 8, 9, 17)]
        [4, 4, 8, 8, 16, 24]
        """
        fitting = [size for size in self.sizes if size >= kept]
        return fitting[0] if fitting else -(-kept // self.sizes[-1]) * self.sizes[-1]
