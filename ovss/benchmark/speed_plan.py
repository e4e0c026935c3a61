"""Cases of a speed comparison: random inputs of a given shape, or images of a dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ovss.io.option_values import check_range, check_values
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config

from .arguments import by_method, labels, parse_count, parse_method, random_model
from .images import open_dataset, samples_of, training_batches
from .instead import instead_case
from .speed import Case
from .speed_cases import Contender, encoder_case, encoder_step_case, image_case, step_case
from .stand_ins import (
    device_of,
    has_trainable_text,
    has_variable_count,
    keep_fixed,
    numbered_names,
    random_batch,
    random_image,
    random_text,
    training_size,
)


@dataclass(frozen=True)
class SpeedPlan:
    """Settings of a speed comparison.

    Args:
        methods: config names or paths, with settings after commas.
        categories: sizes of random vocabularies.
        kept: ``N`` or ``METHOD=N``, the number of categories that a view keeps.
        size: (height, width) of random images; None for 640 x 640, or for the training size in
            steps.
        step: True for training steps (forward, loss, backward), False for inference on images.
        batch: images per step.
        given_text: True to pass text features into steps even if the text tower is trained.
        scenes: number of images or steps to take from datasets, with trained weights; None for
            random weights and inputs.
        datasets: datasets for `scenes`.
        weights: ``METHOD=FILE`` for `scenes`.
        instead: ``FILE`` or ``METHOD=FILE``, another implementation of a method's inference to
            measure too, see `ovss.benchmark.instead`.
        device: torch device.

    Raises:
        TypeError: a value of another type.
        ValueError: a method occurs twice, or a number is out of range.
    """

    methods: list[str]
    categories: list[int] = field(default_factory=lambda: [150])
    kept: list[str] | None = None
    size: tuple[int, int] | None = None
    step: bool = False
    batch: int = 1
    given_text: bool = False
    scenes: int | None = None
    datasets: list[str] = field(default_factory=lambda: ["mini_150"])
    weights: list[str] | None = None
    instead: list[str] | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_values(SpeedPlan, vars(self), "SpeedPlan")
        sizes = {f"categories[{i}]": count for i, count in enumerate(self.categories)}
        sides = dict(zip(("height", "width"), self.size or (1, 1), strict=True))
        scenes = 1 if self.scenes is None else self.scenes
        check_range("SpeedPlan", 1, batch=self.batch, scenes=scenes, **sizes, **sides)
        if not (self.methods and self.categories):
            raise ValueError("Expected at least one method and one vocabulary size. Name them")
        if self.instead and (self.step or self.scenes is not None):
            raise ValueError(
                "Expected random images with instead, got step or scenes. Leave them out"
            )
        for value in self.kept or ():
            parse_count(value)
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"Expected different methods, got {' '.join(self.methods)}")

    @property
    def unit(self) -> str:
        """Unit that times refer to."""
        return "a training step without the optimiser" if self.step else "an image"


def make_cases(plan: SpeedPlan) -> list[Case]:
    """Builds every model of a plan and its cases: encoders alone, then each vocabulary.

    Raises:
        ValueError: a malformed setting, or a count or weights file for a method that does not take
            part.
    """
    contenders = [_contender(plan, method) for method in plan.methods]
    return (_random_cases if plan.scenes is None else _scene_cases)(plan, contenders)


def _contender(plan: SpeedPlan, method: str) -> Contender:
    name, settings = parse_method(method)
    names = labels(plan.methods)
    label = names[method]
    if plan.scenes is None:
        config, model = random_model(name, settings, plan.device)
    else:
        config = load_config(name, settings)
        weights = by_method(plan.weights, list(names.values())).get(label, "default")
        model = build_segmentor(config, None if weights == "none" else weights, plan.device)
    kept = by_method(plan.kept, list(names.values()))
    if label in kept or ("" in kept and has_variable_count(model)):
        keep_fixed(model, parse_count(kept.get(label, kept.get("", ""))))
    return Contender(label, config, model.train(plan.step))


def _random_cases(plan: SpeedPlan, contenders: list[Contender]) -> list[Case]:
    cases = [
        encoder_step_case(one, _size(plan, one), plan.batch)
        if plan.step
        else encoder_case(one, _size(plan, one))
        for one in contenders
    ]
    for count in plan.categories:
        names = numbered_names(count)
        for one in contenders:
            size = _size(plan, one)
            if plan.step:
                encodes = not plan.given_text and has_trainable_text(one.model)
                text = None if encodes else random_text(one.model, names)
                inputs, samples = random_batch(one.model, names, size, plan.batch)
                batch = {"inputs": inputs, "data_samples": samples}
                cases.append(step_case(one, str(count), [batch], text))
            else:
                image_3HW = random_image(size, device_of(one.model))
                text = random_text(one.model, names)
                cases.append(image_case(one, str(count), text, [(image_3HW, size)]))
                for file in _files_instead(plan, one):
                    cases.append(instead_case(one, str(count), text, image_3HW, file))
    return cases


def _files_instead(plan: SpeedPlan, one: Contender) -> list[str]:
    """Files with other implementations of a method."""
    names = list(labels(plan.methods).values())
    files = [by_method([value], names) for value in plan.instead or ()]
    return [file for each in files for name, file in each.items() if name in ("", one.name)]


def _scene_cases(plan: SpeedPlan, contenders: list[Contender]) -> list[Case]:
    assert plan.scenes is not None
    cases = []
    for one in contenders:
        data = open_dataset(one.config, plan.datasets[0], 1, plan.step)
        first = data[0]
        height, width = first["inputs"].shape[-2:]
        if plan.step:
            cases.append(encoder_step_case(one, (height, width), plan.batch))
        else:
            cases.append(encoder_case(one, (height, width), plan.scenes, first["data_samples"]))
    for name in plan.datasets:
        for one in contenders:
            count = plan.scenes * (plan.batch if plan.step else 1)
            data = open_dataset(one.config, name, count, plan.step)
            if plan.step:
                batches = training_batches(one.config, data, plan.scenes, plan.batch)
                batches = [_moved(batch, plan.device) for batch in batches]
                cases.append(step_case(one, name, batches, None))
            else:
                text = one.model.encode_vocabulary(data.names)
                found = samples_of(data, count)
                records = [sample["data_samples"].to(plan.device) for sample in found]
                images = [
                    (sample["inputs"].to(plan.device), record.ori_shape)
                    for sample, record in zip(found, records, strict=True)
                ]
                cases.append(image_case(one, name, text, images, records))
    return cases


def _size(plan: SpeedPlan, one: Contender) -> tuple[int, int]:
    if plan.size:
        return plan.size
    return training_size(one.config) if plan.step else (640, 640)


def _moved(batch: dict[str, Any], device: str) -> dict[str, Any]:
    samples = [sample.to(device) for sample in batch["data_samples"]]
    return {"inputs": batch["inputs"].to(device), "data_samples": samples}
