"""Test suite for methods: one line checks a plugin, one line checks a config.

    def test_plugin(): check_plugin("my_package")         # every class and config of a package
    def test_method(): check_method("my_method_mini")     # one config

`CONTRACT` are rules of a class, `LAWS` are laws of a segmentor. Each raises AssertionError with the
name of the rule, the component and what differed.
"""

from .check import check_class, check_method, check_plugin
from .contract import CONTRACT
from .fresh import configs_name_their_plugins
from .laws import (
    LAWS,
    batch_mates_do_not_talk,
    keeping_everything_equals_not_selecting,
    more_than_255_categories_work,
    one_category_works,
    padding_changes_nothing,
    post_processing_keeps_what_is_certain,
    prediction_has_the_size_asked_for,
    vocabulary_order_is_irrelevant,
)
from .report import LawError
from .saving import check_saving
from .stand_in import StandInDevice
from .tiny import TinyEncoder, make_images, make_names, make_sample, with_tiny_encoder
from .training import (
    ground_truth_survives_training,
    labels_have_no_influence_at_inference,
    loss_and_prediction_work,
)

__all__ = [
    "CONTRACT",
    "LAWS",
    "LawError",
    "StandInDevice",
    "TinyEncoder",
    "batch_mates_do_not_talk",
    "check_class",
    "check_method",
    "check_plugin",
    "check_saving",
    "configs_name_their_plugins",
    "ground_truth_survives_training",
    "keeping_everything_equals_not_selecting",
    "labels_have_no_influence_at_inference",
    "loss_and_prediction_work",
    "make_images",
    "make_names",
    "make_sample",
    "more_than_255_categories_work",
    "one_category_works",
    "padding_changes_nothing",
    "post_processing_keeps_what_is_certain",
    "prediction_has_the_size_asked_for",
    "vocabulary_order_is_irrelevant",
    "with_tiny_encoder",
]
