"""Writes the cards of the bundled models, `docs/models/NAME.md`, and their list.

    .venv/bin/python tools/model_cards.py
    .venv/bin/python tools/model_cards.py --results DIR     first take over results of `ovss test`

A card is made from the docstring of the config, the zoo, and the results in
`ovss/results/bundled.json`. A test compares the pages with these.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from ovss.api.facts import protocol_facts
from ovss.hub.card import model_card
from ovss.hub.config_facts import facts_of_config
from ovss.hub.options import plain_values
from ovss.hub.records import ModelDescription, ModelFacts
from ovss.io.markdown import markdown_table
from ovss.models.build import build_on_meta
from ovss.models.configs import load_config
from ovss.models.provenance import BUNDLED
from ovss.results.catalogue import ModelEntry, list_models
from ovss.results.facts import (
    BUNDLED_RESULTS,
    bundled_metrics,
    links_of_config,
    metric_of_result,
)
from ovss.results.result_file import read_result
from ovss.vocabularies import load_templates

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "models"
INDEX = FOLDER / "index.md"

_INTRO = """# Bundled models

These models come with the package and need no download. Use one by its name:

```python
import ovss

run = ovss.Inferencer("dcp_clip_mini")
ovss.list_models(bundled=True)              # records with names, methods and weights
model = ovss.create_model("dcp_clip_mini")  # the module itself
```

They know the synthetic shapes of the [mini world](../mini_world.md) only. Results are in percent on
200 scenes of 150 categories, those of `*_mini_web` on the scenes of mini_web, which do not compare
with the others; each card names the protocol and its hash. The pages are made by
`python tools/model_cards.py`.
"""


def entries() -> list[ModelEntry]:
    """Bundled models that segment images without their ground truth."""
    return [entry for entry in list_models(bundled=True) if not entry.upper_bound]


def facts_of(entry: ModelEntry) -> ModelFacts:
    """Facts on a bundled model."""
    config = load_config(entry.config)
    facts = facts_of_config(config, BUNDLED, trained=bool(config.get("weights")))
    metric = bundled_metrics()[entry.name]
    return replace(
        facts,
        protocol=protocol_facts(config),
        metrics=(metric,),
        links=links_of_config(entry.config),
    )


def card(entry: ModelEntry) -> str:
    """Text of the card of a bundled model."""
    config = load_config(entry.config)
    model = build_on_meta(config.model.to_dict())
    block = plain_values(config.model.to_dict())
    block["prompts"] = {
        "templates": list(load_templates(model.prompts.templates)),
        "synonyms": model.prompts.synonyms,
    }
    description = ModelDescription(
        name=entry.name,
        ovss_version="",
        model=block | {"inference": asdict(model.inference)},
        modules=(),
        plugins=(),
        weights={"parameters": sum(parameter.numel() for parameter in model.parameters())},
        preprocessing={},
        assets={},
        note=BUNDLED,
        facts=facts_of(entry),
    )
    return model_card(description, bundled=True)


def index() -> str:
    """Text of the page that lists the cards."""
    metrics, rows = bundled_metrics(), []
    for entry in entries():
        values = metrics[entry.name].values
        numbers = [f"{values[key]:.1f}" for key in ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")]
        rows.append([entry.name, entry.method or "a composition of this project", *numbers])
    titles = ["model", "published as", "mIoU", "seen", "unseen", "harmonic"]
    table = markdown_table(titles, rows, 2)
    linked = [
        line.replace(f"| {row[0]} |", f"| [`{row[0]}`]({row[0]}.md) |", 1)
        for line, row in zip(table[2:], rows, strict=True)
    ]
    return "\n".join([_INTRO, *table[:2], *linked, ""])


def pages() -> dict[Path, str]:
    """Text of every page by path."""
    return {INDEX: index()} | {FOLDER / f"{entry.name}.md": card(entry) for entry in entries()}


def take_over(results: Iterable[Path]) -> None:
    """Writes results of `ovss test` into the file of the bundled models."""
    known = json.loads(BUNDLED_RESULTS.read_text()) if BUNDLED_RESULTS.is_file() else {}
    for path in results:
        result = read_result(path)
        metric = metric_of_result(result)
        values = {name: round(value, 4) for name, value in metric.values.items()}
        known[result.config_name] = {
            "model_sha256": result.weights.model_sha256,
            "metric": asdict(replace(metric, values=values)),
        }
    names = [entry.name for entry in entries()]
    kept = {name: known[name] for name in names if name in known}
    BUNDLED_RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Writes the pages."""
    parser = argparse.ArgumentParser(description="Write the cards of the bundled models.")
    parser.add_argument("--results", metavar="DIR", help="folder with files of `ovss test --out`")
    args = parser.parse_args()
    if args.results:
        take_over(sorted(Path(args.results).glob("*.json")))
    FOLDER.mkdir(exist_ok=True)
    wanted = pages()
    for path in set(FOLDER.glob("*.md")) - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
