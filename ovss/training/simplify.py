"""Simplified training configs that need no files, downloads, validation or checkpoints."""

from __future__ import annotations

from mmengine.config import Config

from ovss.models.parts import external_options


def simplify(config: Config, steps: int) -> list[str]:
    """Removes external dependencies from a training config, in place, and shortens it to `steps`.

    Returns:
        Keys of the model's config that were set to None.

    Raises:
        ValueError: a dataset of files without a `vocabulary`.
    """
    for scheduler in config.get("param_scheduler") or ():
        scheduler.setdefault("end", config.train_cfg["max_iters"])
    config.train_cfg["max_iters"] = steps
    for part in ("val", "test"):
        for kind in ("dataloader", "cfg", "evaluator"):
            config.pop(f"{part}_{kind}", None)
    for key in ("load_from", "track"):
        config.pop(key, None)
    config.custom_hooks = [{"type": "StepSeedHook"}, {"type": "StopwatchHook"}]
    config.default_hooks = {**config.get("default_hooks", {}), "checkpoint": None}
    config.log_level = "WARNING"
    loader = config.train_dataloader
    loader["num_workers"] = 0
    if "images" in loader["dataset"]:
        loader["dataset"] = _made_up(loader["dataset"])
    options = list(external_options(config.model, "model"))
    for block, key, _ in options:
        block[key] = None
    return [name for _, _, name in options]


def _made_up(dataset: dict) -> dict:
    """Config of a synthetic dataset with the categories and the pipeline of a dataset of files."""
    from ovss.vocabularies import load_names
    from ovss.vocabularies.seen import seen_mask

    if "vocabulary" not in dataset:
        raise ValueError(
            "A dry run needs the category names, but train_dataloader.dataset has no `vocabulary`. "
            "Set it in the config."
        )
    names = load_names(dataset["vocabulary"])
    if dataset.get("only_seen") and dataset.get("seen") is not None:
        mask = seen_mask(names, load_names(dataset["seen"]))
        names = tuple(name for name, seen in zip(names, mask) if seen)
    return {"type": "MadeUpDataset", "vocabulary": names, "pipeline": dataset["pipeline"]}
