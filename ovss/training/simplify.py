"""A training's config without what lies outside: files, downloads, validation, checkpoints."""

from __future__ import annotations

from mmengine.config import Config

from ovss.models.parts import external_options


def simplify(config: Config, steps: int) -> list[str]:
    """Take out, in place, what a dry run must not need, and stop after `steps`.

    Returns:
        the keys of the model's config that were left out.

    Raises:
        ValueError: a data set of files without a `vocabulary`.
    """
    for scheduler in config.get("param_scheduler") or ():
        scheduler.setdefault("end", config.train_cfg["max_iters"])
    config.train_cfg["max_iters"] = steps
    for part in ("val", "test"):
        for kind in ("dataloader", "cfg", "evaluator"):
            config.pop(f"{part}_{kind}", None)
    config.pop("load_from", None)
    config.custom_hooks = [{"type": "StepSeedHook"}, {"type": "StopwatchHook"}]
    config.default_hooks = {**config.get("default_hooks", {}), "checkpoint": None}
    config.log_level = "WARNING"
    loader = config.train_dataloader
    loader["num_workers"], loader["persistent_workers"] = 0, False
    if "images" in loader["dataset"]:
        loader["dataset"] = _made_up(loader["dataset"])
    found = list(external_options(config.model, "model"))
    for block, key, _ in found:
        block[key] = None
    return [name for _, _, name in found]


def _made_up(dataset: dict) -> dict:
    from ovss.data.labels import seen_mask
    from ovss.vocabularies import load_names

    if "vocabulary" not in dataset:
        raise ValueError(
            "train_dataloader.dataset names no `vocabulary`; a dry run needs its words"
        )
    names = load_names(dataset["vocabulary"])
    if dataset.get("only_seen") and dataset.get("seen") is not None:
        mask = seen_mask(names, load_names(dataset["seen"]))
        names = tuple(name for name, seen in zip(names, mask) if seen)
    return {"type": "MadeUpDataset", "vocabulary": names, "pipeline": dataset["pipeline"]}
