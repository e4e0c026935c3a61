"""DualPromptEncoder: any encoder, whose words come with pictures of what they mean."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ovss.interfaces import Encoder
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .bank import BankError, Maker, VisualPromptBank, look_up
from .frozen import FrozenEncoder, maker_of
from .prompts import FUSIONS, VisualPrompts, dual_prompts
from .world import WORLD, world_prompts

_KEPT = 4


@ENCODERS.register_module()
class DualPromptEncoder(Encoder):
    """Another encoder, whose text is mixed with visual prompts (DPSeg, CVPR 2025).

    `TextFeatures.embeds_TPC` is R = (V + T) / 2 and `TextFeatures.levels` are GAP(V_j), where V and
    V_j are what the pre-trained image tower made of pictures of each category. They lie in a bank
    (`bank.VisualPromptBank`) and cost nothing in training or inference.

    Args:
        encoder: config of the encoder within. As pre-trained it is also the visual-prompt encoder;
            with ``pretrained=None`` it is so as it is.
        bank: folder of a bank; several, of which the first that has a category counts;
            ``mini_world``: the mini world renders its categories when they are asked for; None: no
            visual prompts, V := T.
        fusion: ``average``, ``text`` or ``visual``.
        pre_norm: V has length 1 before the mean; otherwise the longer of V and T dominates.
        missing: a category that no bank has: ``text`` goes on with V := T and says so once,
            ``error`` refuses it.

    Raises:
        ValueError: an unknown word for an argument.
    """

    external = ("bank",)

    def __init__(
        self,
        encoder: dict,
        bank: str | Sequence[str] | None = None,
        fusion: str = "average",
        pre_norm: bool = True,
        missing: str = "text",
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"fusion must be one of {', '.join(FUSIONS)}, got {fusion!r}")
        if missing not in ("text", "error"):
            raise ValueError(f"missing must be 'text' or 'error', got {missing!r}")
        self.encoder = ENCODERS.build(encoder)
        self.joint_dim = self.encoder.joint_dim
        self.level_dims = self.text_level_dims = tuple(self.encoder.level_dims)
        self.level_scales = tuple(self.encoder.level_scales)
        self.gives_attention = self.encoder.gives_attention
        self.class_attention_dim = self.encoder.class_attention_dim
        self.checkpointed = tuple(f"encoder.{name}" for name in self.encoder.checkpointed)
        self.compiled = tuple(f"encoder.{name}" for name in self.encoder.compiled)
        self.bank = (bank,) if isinstance(bank, str) else tuple(bank or ())
        self.fusion, self.pre_norm, self.missing = fusion, pre_norm, missing
        weighted = encoder.get("pretrained", "as it comes") is not None
        self.frozen = FrozenEncoder(encoder if weighted else self.encoder)
        self._maker = self._as_pretrained(encoder)
        self._banks: list[VisualPromptBank] | None = None
        self._known: OrderedDict[Vocabulary, VisualPrompts] = OrderedDict()

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """As the encoder within."""
        return self.encoder.encode_image(image_B3HW)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Dual prompts (T, P, C), L2-normalised, and the levels of the visual ones.

        Raises:
            FileNotFoundError, BankError: no bank there, another encoder's, or damaged.
            ValueError: as the encoder within; a category that no bank has, if that is an error.
        """
        return self.mixed(self.text(vocabulary), self.visual(vocabulary))

    def text(self, vocabulary: Vocabulary) -> TextFeatures:
        """T alone, of the encoder within."""
        return self.encoder.encode_text(vocabulary)

    def mixed(self, text: TextFeatures, visual: VisualPrompts) -> TextFeatures:
        """Both, as this encoder mixes them."""
        return dual_prompts(text, visual, self.fusion, self.pre_norm)

    def visual(self, vocabulary: Vocabulary) -> VisualPrompts:
        """V and GAP(V_j) of a vocabulary; the last few are remembered."""
        device = next(self.encoder.parameters()).device
        if vocabulary not in self._known:
            with torch.inference_mode(False):
                self._known[vocabulary] = self._found(vocabulary)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(vocabulary)
        prompts = self._known[vocabulary] = self._known[vocabulary].to(device)
        return prompts

    def _found(self, vocabulary: Vocabulary) -> VisualPrompts:
        on_meta = next(self.encoder.parameters()).is_meta
        if self.bank == (WORLD,) and not on_meta:
            prompts = world_prompts(vocabulary, self.frozen, self.joint_dim, self.level_dims)
        elif self.bank and not on_meta:
            prompts = look_up(self._opened(), vocabulary)
        else:
            shape = (len(vocabulary), len(vocabulary.templates))
            none, *levels = (  # views of one row: they take no memory
                torch.zeros(1, 1, dim).expand(*shape, -1)
                for dim in (self.joint_dim, *self.level_dims)
            )
            return VisualPrompts(none, tuple(levels), torch.zeros(len(vocabulary)).bool())
        absent = [name for name, ok in zip(vocabulary.names, prompts.found_T) if not ok]
        if absent:
            told = (
                f"{len(absent)} of {len(vocabulary)} categories have no visual prompts in "
                f"{', '.join(self.bank)}, {absent[0]!r} first"
            )
            if self.missing == "error":
                raise ValueError(f"{told}. Add them with `ovss visual-prompts`")
            warnings.warn(f"{told}: their text stands alone", stacklevel=2)
        return prompts

    def _opened(self) -> list[VisualPromptBank]:
        if self._banks is None:
            banks = [VisualPromptBank(folder) for folder in self.bank]
            for bank in banks:
                if why := bank.maker.misfit(self._maker):
                    raise BankError(
                        f"the visual prompts in {bank.folder} are another encoder's ({why}): "
                        f"build them with this config"
                    )
            self._banks = banks
        return self._banks

    def _as_pretrained(self, encoder: Mapping[str, Any]) -> Maker:
        """The mark of the encoder within, before it is trained or a checkpoint is loaded.

        Without pre-trained weights there is nothing to compare a bank's fingerprint with.
        """
        inner = self.encoder
        if self.bank and self.bank != (WORLD,) and encoder.get("pretrained") is not None:
            parameters = list(inner.parameters())
            if parameters and not parameters[0].is_meta:
                return maker_of(inner)
        return Maker("", inner.joint_dim, tuple(inner.level_dims))
