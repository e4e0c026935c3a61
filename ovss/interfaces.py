"""Interfaces of the five kinds of component, and of the loss. A method is one of each.

A component subclasses exactly one of these and overrides nothing else; code is shared by calling
functions or holding modules. The dimensions that a component needs or gives are declared as
attributes, so that a composition that cannot work is refused when it is built, not when it runs.

Components of every kind may declare two more things about their modules, as patterns of dotted
names within the component (``layers.*``; ``*`` is one part of a name, ``**`` one or more, an empty
pattern the component itself):

    checkpointed    modules whose results gradient checkpointing computes again
    compiled        repeated blocks that `torch.compile` is worth for
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .structures import Alignment, ImageFeatures, Masks, Scores, Selection, TextFeatures, Vocabulary


class Encoder(nn.Module, ABC):
    """Image and text encoder with one joint space.

    An argument of `__init__` that names pre-trained weights is called ``pretrained``.

    Attributes:
        joint_dim: C, channels of dense tokens, pooled embedding and text embeddings.
        level_dims: channels of each of `ImageFeatures.levels`.
        level_scales: how many times finer than the feature grid each level is; empty: all lie on
            the grid.
        gives_attention: whether `ImageFeatures.attention_BNN` is there.
        class_attention_dim: channels of `ImageFeatures.class_attention_BMhw`; 0: it is not there.
        text_level_dims: channels of each of `TextFeatures.levels`.
        external: further arguments of `__init__` that name files or downloads; a dry run leaves
            them out.
    """

    joint_dim: int
    level_dims: tuple[int, ...] = ()
    level_scales: tuple[int, ...] = ()
    gives_attention: bool = False
    class_attention_dim: int = 0
    text_level_dims: tuple[int, ...] = ()
    external: tuple[str, ...] = ()
    checkpointed: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()

    @abstractmethod
    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """RGB in 0..255, any float type and size; normalising and resizing are the encoder's."""

    @abstractmethod
    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Every category's prompts, encoded, L2-normalised; cached unless the text tower trains."""


class Selector(nn.Module, ABC):
    """Choice of the categories that get a map in each image."""

    checkpointed: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()

    @abstractmethod
    def forward(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None = None
    ) -> Selection:
        """`keep_BT` (bool): ground truth that must survive. Training only, never at inference."""


class AlignmentHead(nn.Module, ABC):
    """Image against the kept categories: the cost volume and what is fused into it.

    Attributes:
        cost_dim: D, channels of the volume it gives.
        raw_dim: P of `Alignment.raw_BKPhw`; None: it gives none.
        joint_dim: C that it needs of the encoder; None takes any.
        level_dims: levels that it needs of the encoder; None takes any.
        any_level_scale: whether those levels may be finer than the feature grid.
        needs_attention: whether it reads the encoder's attention.
        num_templates: P, prompt templates that it needs; None takes any number.
    """

    cost_dim: int
    raw_dim: int | None = None
    joint_dim: int | None = None
    level_dims: tuple[int, ...] | None = None
    any_level_scale: bool = False
    needs_attention: bool = False
    num_templates: int | None = None
    checkpointed: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, image: ImageFeatures, text: TextFeatures, selection: Selection) -> Alignment:
        """One volume per kept category."""


class Decoder(nn.Module, ABC):
    """Volumes into masks.

    Attributes:
        cost_dim: D that it needs of the head; None takes any.
        raw_dim: P that it needs of the head's raw volume; None needs none.
        joint_dim: C that it needs of the encoder; None takes any.
        level_dims: levels that it needs of the encoder; None takes any.
        any_level_scale: whether those levels may be finer than the feature grid.
        needs_attention: whether it reads the encoder's attention.
        class_attention_dim: channels of class-token attention that it needs; None needs none.
        text_level_dims: levels of the text that it needs of the encoder; None needs none.
    """

    cost_dim: int | None = None
    raw_dim: int | None = None
    joint_dim: int | None = None
    level_dims: tuple[int, ...] | None = None
    any_level_scale: bool = False
    needs_attention: bool = False
    class_attention_dim: int | None = None
    text_level_dims: tuple[int, ...] | None = None
    checkpointed: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, aligned: Alignment) -> Masks:
        """One logit map per kept category; may narrow the selection."""


class PostProcessor(nn.Module, ABC):
    """Changes merged scores: inference only, after the views are merged.

    Attributes:
        needs_whole_view: whether it reads `Scores.features`, which inference by windows has only
            with ``global_view``.
    """

    needs_whole_view: bool = False

    @abstractmethod
    def forward(self, scores: Scores) -> Scores:
        """Scores in, scores out; may narrow, re-score, or add a category of the vocabulary."""


class Criterion(nn.Module, ABC):
    """Training loss. Its options are arguments of `__init__`, as for any component."""

    @abstractmethod
    def forward(self, masks: Masks, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes the losses of a batch.

        Args:
            masks: output of the decoder; ground truth survived the selection.
            labels_BHW: category of each pixel as an index into T, or IGNORE.

        Returns:
            Scalars by name, each starting with ``loss``; training minimises their sum.
        """
