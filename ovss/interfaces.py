"""The interfaces of the framework: five kinds of component, and what trains and feeds them.

A method is one component of each kind::

    Encoder        images and category names  ->  features in one joint space
    Selector       features                   ->  categories that get a mask in each image
    AlignmentHead  features and selection     ->  comparison of the image with the kept categories
    Decoder        comparison                 ->  masks of the kept categories
    PostProcessor  scores of all views        ->  refined scores (inference only)

The comparison is a cost volume, one vector for each category and cell, or class logits of proposed
regions. Masks are one map for each category, or one mask for each region and the shares of the
categories in it.

Three further kinds have registries, but no slot in the figure::

    Criterion       masks and label maps      ->  training losses
    Proposer        features and image        ->  regions, inside an encoder
    RegionEmbedder  image and regions         ->  embeddings of the regions, inside an encoder

To write a component, subclass exactly one of these classes, implement its abstract methods, and
override nothing else but methods that are marked `optional`. Components share code by calling
functions or by holding modules, not by inheritance.

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
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

from .layers.splice import WindowFeatures
from .structures import (
    Alignment,
    ImageFeatures,
    Masks,
    NameRule,
    Proposals,
    RegionAlignment,
    RegionMasks,
    RegionScores,
    Scores,
    Selection,
    TextFeatures,
    Vocabulary,
)

M = TypeVar("M", bound=Callable[..., Any])


def optional(method: M) -> M:
    """Marks a method of an interface that a component may override."""
    method.is_optional = True  # type: ignore[attr-defined]
    return method


class PromptTower(nn.Module, ABC):
    """Text tower that embeds prompts, each by itself.

    Attributes:
        context_length: largest number of tokens of a prompt.
        is_free: True if prompts may have any length; False if all have `context_length` tokens.
        tokenizer: open_clip's byte-pair tokenizer.
    """

    context_length: int
    is_free: bool
    tokenizer: Any

    @abstractmethod
    def forward(self, ids_NL: Tensor) -> Tensor:
        """L2-normalised embeddings (N, C) of token ids, padded with 0 after the end mark."""


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
        gives_proposals: True if `ImageFeatures.proposals` is provided.
        proposal_sources: S, the number of embeddings of a proposal; 0 without proposals.
        training_sources: S in training, if fewer embeddings are computed there; 0 if all of them
            are.
        reads_labels: True if the proposals come from the ground truth, for upper bounds.
        needs_whole_image: True if inference must not cut the image into windows.
        tower: kind of open_clip image tower in ``self.clip.visual``, ``"vit"`` or ``"convnext"``,
            for region embedders that run parts of it; empty if the encoder has none.
        external: names of further arguments of `__init__` that refer to files or downloads. A dry
            run sets them to None.
        learned: beginnings of the names of parameters that no pre-trained file fills. They are
            random without a checkpoint of the whole method.
        carried: names of arguments whose files are read after the encoder is built, so that a
            saved model holds copies of them. ``"encoder.pretrained"`` is the argument of the
            encoder that the argument ``encoder`` configures.
    """

    joint_dim: int
    level_dims: tuple[int, ...] = ()
    level_scales: tuple[int, ...] = ()
    gives_attention: bool = False
    class_attention_dim: int = 0
    text_level_dims: tuple[int, ...] = ()
    gives_proposals: bool = False
    proposal_sources: int = 0
    training_sources: int = 0
    reads_labels: bool = False
    needs_whole_image: bool = False
    tower: str = ""
    external: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
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

    @optional
    def prompt_tower(self) -> PromptTower | None:
        """Text tower that computes the embedding of one prompt from its tokens, for export.

        None if texts of this encoder need more than that, such as images of the categories.
        """
        return None


class SplicedEncoder(Encoder):
    """Encoder in two stages, between which the features of windows can be spliced.

    With ``merge="features"``, inference runs the first stage on each window and the second one on
    the canvas. Otherwise both run on each view.

    Attributes:
        windows_together: True if the first stage needs all windows of an image in one batch.
    """

    windows_together: bool = False

    @abstractmethod
    def encode_windows(self, views_V3HW: Tensor) -> WindowFeatures:
        """Computes what each view contributes.

        Args:
            views_V3HW: RGB in 0..255.
        """

    @abstractmethod
    def join(self, windows: WindowFeatures, canvas_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of images from what their windows contribute.

        Args:
            windows: features of B canvases, after splicing.
            canvas_B3HW: RGB in 0..255.
        """

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images, each of which is one window."""
        return self.join(self.encode_windows(image_B3HW), image_B3HW)


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
        needs_proposals: True if the head reads `ImageFeatures.proposals`.
        proposal_sources: required `Encoder.proposal_sources`; None if any will do.
        training_sources: smallest S in training that the head works with.
        gives: record that the head returns.
        merges_synonyms: True if the head combines the queries of ``synonyms="max"`` to categories,
            so that the rule can be used in training as well.
        seen: rule that finds the categories of the training by their names, if the head depends on
            them, see `TextFeatures.seen_T`; None if it does not.
    """

    cost_dim: int = 0
    raw_dim: int | None = None
    joint_dim: int | None = None
    level_dims: tuple[int, ...] | None = None
    any_level_scale: bool = False
    needs_attention: bool = False
    num_templates: int | None = None
    needs_proposals: bool = False
    proposal_sources: int | None = None
    training_sources: int = 0
    gives: type[Alignment] | type[RegionAlignment] = Alignment
    merges_synonyms: bool = False
    seen: NameRule | None = None
    checkpointed: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()

    @abstractmethod
    def forward(
        self, image: ImageFeatures, text: TextFeatures, selection: Selection
    ) -> Alignment | RegionAlignment:
        """Compares every kept category with the image: cells, or proposals.

        Returns:
            The cost volume with D channels per cell, or class logits of the proposals.
        """


class Decoder(nn.Module, ABC):
    """Turns the comparison of image and categories into masks.

    Attributes:
        reads: record that the decoder takes, see `AlignmentHead.gives`.
        gives: record that the decoder returns.
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

    reads: type[Alignment] | type[RegionAlignment] = Alignment
    gives: type[Masks] | type[RegionMasks] = Masks
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
    def forward(self, aligned: Any) -> Masks | RegionMasks:
        """Computes the masks of the kept categories. It may drop further categories.

        Args:
            aligned: record of the type `reads`.

        Returns:
            One logit map per kept category; or one mask per proposal, with the shares of the
            categories in it.
        """


class PostProcessor(nn.Module, ABC):
    """Refines the scores of an image after its views are merged; inference only.

    Attributes:
        needs_whole_view: True if the post-processor reads `Scores.features`. Sliding-window
            inference provides these only with ``global_view=True``.
        reads_regions: True if the post-processor also takes `RegionScores`. Otherwise these are
            merged at the size of the canvas first.
        seen: as in `AlignmentHead`.
    """

    needs_whole_view: bool = False
    reads_regions: bool = False
    seen: NameRule | None = None

    @abstractmethod
    def forward(self, scores: Any) -> Scores | RegionScores:
        """Refines the scores.

        It may drop categories, change their probabilities, or add categories of the vocabulary.

        Args:
            scores: `Scores`; or `RegionScores` if `reads_regions`.
        """


class Criterion(nn.Module, ABC):
    """Training loss. Its options are arguments of `__init__`, as for any component.

    Attributes:
        reads: record that the loss takes, see `Decoder.gives`.
    """

    reads: type[Masks] | type[RegionMasks] = Masks

    @abstractmethod
    def forward(self, masks: Any, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes the losses of a batch.

        Args:
            masks: decoder output of the type `reads`. Its selection contains every ground-truth
                category.
            labels_BHW: category of each pixel as an index into T, or `IGNORE`.

        Returns:
            Scalars by name, each name starting with ``loss``. Training minimises their sum.
        """


class Proposer(nn.Module, ABC):
    """Proposes regions of an image, without knowledge of the vocabulary.

    A proposer works inside an encoder, see `ovss.encoders.WithProposals`.

    Attributes:
        joint_dim: required `Encoder.joint_dim`; None if any will do.
        level_dims: required `Encoder.level_dims`; None if any will do.
        any_level_scale: True if the proposer accepts levels that are finer than the feature grid.
        sources: number of embeddings that the proposer gives each region; 0 if it gives masks only.
        reads_labels: True if the proposer reads the ground truth, which only upper bounds may do.
        needs_whole_image: True if the proposer knows the regions of whole images only, so that
            inference must not cut the image into windows.
        external: as in `Encoder`.
    """

    joint_dim: int | None = None
    level_dims: tuple[int, ...] | None = None
    any_level_scale: bool = False
    sources: int = 0
    reads_labels: bool = False
    needs_whole_image: bool = False
    external: tuple[str, ...] = ()
    checkpointed: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        """Proposes the regions of a batch of images.

        Args:
            features: features of the images.
            image_B3HW: RGB in 0..255.
        """


class RegionEmbedder(nn.Module, ABC):
    """Embeds regions of an image in the joint space of an encoder.

    Attributes:
        tower: required `Encoder.tower`; empty if any will do.
        external: as in `Encoder`.
    """

    tower: str = ""
    external: tuple[str, ...] = ()
    checkpointed: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()

    @abstractmethod
    def forward(
        self, encoder: Any, features: ImageFeatures, image_B3HW: Tensor, proposals: Proposals
    ) -> tuple[Tensor, Tensor]:
        """Embeds the regions of a batch of images.

        Args:
            encoder: encoder of the images.
            features: its features of the images.
            image_B3HW: RGB in 0..255.
            proposals: regions to embed. Those that are not valid may get any finite embedding.

        Returns:
            Embeddings (B, Q, C), not necessarily normalised; and a boolean (B, Q), False where the
            mask is empty, so that the embedding means nothing.
        """
