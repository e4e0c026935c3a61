"""The interfaces of the framework: five kinds of component, and the training loss.

A method is one component of each kind::

    Encoder        images and category names  ->  features in one joint space
    Selector       features                   ->  categories that get a mask in each image
    AlignmentHead  features and selection     ->  cost volume: image against kept categories
    Decoder        cost volume                ->  one mask per kept category
    PostProcessor  scores of all views        ->  refined scores (inference only)

To write a component, subclass exactly one of these classes, implement its abstract methods, and
override nothing else. Components share code by calling functions or by holding modules, not by
inheritance.

Class attributes declare what a component needs from the others and what it provides, for example
`Decoder.cost_dim` and `AlignmentHead.cost_dim`. The framework compares them when a model is built,
so an impossible combination is refused before any image is loaded (see `ovss.compatibility`).

Every component may also name modules inside it that training treats specially. A name is a pattern
of dotted module names such as ``layers.*``, where ``*`` stands for one part of the name, ``**`` for
one or more parts, and an empty pattern for the component itself:

    checkpointed    modules recomputed in the backward pass under gradient checkpointing
    compiled        repeated blocks that are worth compiling with `torch.compile`
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .structures import Alignment, ImageFeatures, Masks, Scores, Selection, TextFeatures, Vocabulary


class Encoder(nn.Module, ABC):
    """Image and text encoder with one joint space.

    An argument of `__init__` that names pre-trained weights must be called ``pretrained``.

    Attributes:
        joint_dim: C, the number of channels of dense tokens, pooled and text embeddings.
        level_dims: number of channels of each map in `ImageFeatures.levels`.
        level_scales: factor by which each level is finer than the feature grid; empty if all levels
            lie on the grid.
        gives_attention: True if `ImageFeatures.attention_BNN` is provided.
        class_attention_dim: number of channels of `ImageFeatures.class_attention_BMhw`; 0 if it is
            not provided.
        text_level_dims: number of channels of each of `TextFeatures.levels`.
        external: names of further arguments of `__init__` that refer to files or downloads. A dry
            run sets them to None.
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
        """Computes the features of a batch of images.

        Args:
            image_B3HW: RGB in 0..255, of any size and any floating-point type. The encoder
                normalises and resizes.
        """

    @abstractmethod
    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one L2-normalised embedding per category and prompt template.

        Encoders cache the result, except while their text tower is being trained.
        """


class Selector(nn.Module, ABC):
    """Chooses which categories get a mask in each image."""

    checkpointed: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()

    @abstractmethod
    def forward(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None = None
    ) -> Selection:
        """Selects the categories of each image.

        Args:
            image: features of B images.
            text: features of all T categories.
            keep_BT: True for ground-truth categories, which the selection must contain. Given in
                training only, never at inference.
        """


class AlignmentHead(nn.Module, ABC):
    """Compares an image with its kept categories.

    Attributes:
        cost_dim: D, the number of channels of the cost volume.
        raw_dim: number P of maps in `Alignment.raw_BKPhw`; None if the head does not provide them.
        joint_dim: required `Encoder.joint_dim`; None if any will do.
        level_dims: required `Encoder.level_dims`; None if any will do.
        any_level_scale: True if the head accepts levels that are finer than the feature grid.
        needs_attention: True if the head reads `ImageFeatures.attention_BNN`.
        num_templates: P, the required number of prompt templates; None if any will do.
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
        """Computes the cost volume: D channels per cell for every kept category."""


class Decoder(nn.Module, ABC):
    """Turns the cost volume into masks.

    Attributes:
        cost_dim: required `AlignmentHead.cost_dim`; None if any will do.
        raw_dim: required `AlignmentHead.raw_dim`; None if the decoder does not read the cosines.
        joint_dim: required `Encoder.joint_dim`; None if any will do.
        level_dims: required `Encoder.level_dims`; None if any will do.
        any_level_scale: True if the decoder accepts levels that are finer than the feature grid.
        needs_attention: True if the decoder reads `ImageFeatures.attention_BNN`.
        class_attention_dim: required `Encoder.class_attention_dim`; None if the decoder does not
            read the class token's attention.
        text_level_dims: required `Encoder.text_level_dims`; None if the decoder does not read
            levels of the text.
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
        """Computes one logit map per kept category. It may drop further categories."""


class PostProcessor(nn.Module, ABC):
    """Refines the scores of an image after its views are merged; inference only.

    Attributes:
        needs_whole_view: True if the post-processor reads `Scores.features`. Sliding-window
            inference provides these only with ``global_view=True``.
    """

    needs_whole_view: bool = False

    @abstractmethod
    def forward(self, scores: Scores) -> Scores:
        """Returns refined scores.

        It may drop categories, change their probabilities, or add categories of the vocabulary.
        """


class Criterion(nn.Module, ABC):
    """Training loss. Its options are arguments of `__init__`, as for any component."""

    @abstractmethod
    def forward(self, masks: Masks, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes the losses of a batch.

        Args:
            masks: decoder output, whose selection contains every ground-truth category.
            labels_BHW: category of each pixel as an index into T, or `IGNORE`.

        Returns:
            Scalars by name, each name starting with ``loss``. Training minimises their sum.
        """
