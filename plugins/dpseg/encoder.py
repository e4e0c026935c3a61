"""DualPromptEncoder: adds visual prompts to the text embeddings of any encoder."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ovss.interfaces import Encoder
from ovss.io.deferred import weights_are_deferred
from ovss.io.excerpts import excerpt
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .bank import BankError, Maker, VisualPromptBank, look_up
from .frozen import FrozenEncoder, maker_of
from .prompts import FUSIONS, VisualPrompts, dual_prompts
from .world import WORLD, world_prompts

_CACHE_SIZE = 4


@ENCODERS.register_module()
class DualPromptEncoder(Encoder):
    """Encoder whose text embeddings are mixed with visual prompts (DPSeg, CVPR 2025).

    `TextFeatures.embeds_TPC` is R = (V + T) / 2 and `TextFeatures.levels` are GAP(V_j). T is the
    text embedding; V and V_j are image features of example images of each category, computed by the
    pre-trained image tower. They are stored in a bank (`bank.VisualPromptBank`), so that training
    and inference need not compute them.

    Args:
        encoder: config of the wrapped encoder. Its pre-trained state is also the visual-prompt
            encoder; with ``pretrained=None`` its current state is.
        bank: folder of a bank, or several folders of which the first that has a category is used.
            ``mini_world`` lets the mini world render its categories on demand. None uses no visual
            prompts, V := T.
        fusion: mix of text and visual prompts, ``average``, ``text`` or ``visual``.
        pre_norm: normalisation of V to norm 1 before the mean; without it the longer of V and T
            dominates.
        missing: behaviour for a category that no bank has. ``text`` uses V := T and warns once,
            ``error`` raises an error.

    Raises:
        ValueError: an unknown value of an argument.
    """

    external = ("bank",)
    carried = ("bank", "encoder.pretrained")  # the frozen tower is not in the state dict

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
            raise ValueError(
                f"DualPromptEncoder expects fusion to be one of {', '.join(FUSIONS)}, but got "
                f"{fusion!r}. Choose one of these values."
            )
        if missing not in ("text", "error"):
            raise ValueError(
                f"DualPromptEncoder expects missing to be 'text' or 'error', but got "
                f"{excerpt(missing)}. Choose one of these values."
            )
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
        # A config without this key uses the encoder's default weights; only None means none.
        has_weights = encoder.get("pretrained", "default") is not None
        self.frozen = FrozenEncoder(encoder if has_weights else self.encoder)
        self._maker = self._pretrained_maker(encoder)
        self._banks: list[VisualPromptBank] | None = None
        self._cache: OrderedDict[Vocabulary, VisualPrompts] = OrderedDict()

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Encodes images with the wrapped encoder."""
        return self.encoder.encode_image(image_B3HW)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes the dual prompts (T, P, C), L2-normalised, and the levels of the visual prompts.

        Raises:
            FileNotFoundError: a bank does not exist.
            BankError: a bank is damaged or belongs to another encoder.
            ValueError: no bank has a category and ``missing`` is ``error``; also the errors of the
                wrapped encoder.
        """
        return self.mix(self.text(vocabulary), self.visual(vocabulary))

    def text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Text features T of the wrapped encoder."""
        return self.encoder.encode_text(vocabulary)

    def mix(self, text: TextFeatures, visual: VisualPrompts) -> TextFeatures:
        """Mixes text features and visual prompts with this encoder's settings."""
        return dual_prompts(text, visual, self.fusion, self.pre_norm)

    def visual(self, vocabulary: Vocabulary) -> VisualPrompts:
        """Visual prompts V and GAP(V_j) of a vocabulary, cached for the last few vocabularies."""
        device = next(self.encoder.parameters()).device
        if vocabulary not in self._cache:
            # Cached tensors must not be inference tensors, which training could not use later.
            with torch.inference_mode(False):
                self._cache[vocabulary] = self._look_up(vocabulary)
            while len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        self._cache.move_to_end(vocabulary)
        prompts = self._cache[vocabulary] = self._cache[vocabulary].to(device)
        return prompts

    def _look_up(self, vocabulary: Vocabulary) -> VisualPrompts:
        on_meta = next(self.encoder.parameters()).is_meta
        if self.bank == (WORLD,) and not on_meta:
            prompts = world_prompts(vocabulary, self.frozen, self.joint_dim, self.level_dims)
        elif self.bank and not on_meta:
            prompts = look_up(self._open_banks(), vocabulary)
        else:
            shape = (len(vocabulary), len(vocabulary.templates))
            none, *levels = (  # expanded views of one row, which take no memory
                torch.zeros(1, 1, dim).expand(*shape, -1)
                for dim in (self.joint_dim, *self.level_dims)
            )
            return VisualPrompts(none, tuple(levels), torch.zeros(len(vocabulary)).bool())
        absent = [name for name, ok in zip(vocabulary.names, prompts.found_T) if not ok]
        if absent:
            message = (
                f"{len(absent)} of {len(vocabulary)} categories have no visual prompts in "
                f"{', '.join(self.bank)}; the first is {excerpt(absent[0])}."
            )
            if self.missing == "error":
                raise ValueError(
                    f"{message} Add them with `ovss visual-prompts`, or set missing='text'."
                )
            warnings.warn(f"{message} Their text embeddings are used alone.", stacklevel=2)
        return prompts

    def _open_banks(self) -> list[VisualPromptBank]:
        """Opens the banks on first use and checks that they belong to this encoder."""
        if self._banks is None:
            banks = [VisualPromptBank(folder) for folder in self.bank]
            for bank in banks:
                if difference := bank.maker.difference(self._maker):
                    raise BankError(
                        f"The visual prompts in {bank.folder} belong to another encoder: "
                        f"{difference}. Build a bank with this config."
                    )
            self._banks = banks
        return self._banks

    def _pretrained_maker(self, encoder: Mapping[str, Any]) -> Maker:
        """Identity of the wrapped encoder before it is trained or a checkpoint is loaded.

        Without pre-trained weights, or while they come later, the fingerprint is empty, because a
        bank cannot be compared.
        """
        inner = self.encoder
        if self.bank and self.bank != (WORLD,) and encoder.get("pretrained") is not None:
            parameters = list(inner.parameters())
            if parameters and not parameters[0].is_meta and not weights_are_deferred():
                return maker_of(inner)
        return Maker("", inner.joint_dim, tuple(inner.level_dims))
