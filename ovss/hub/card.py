"""Model card: ``README.md`` with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ovss.io.hashing import short_hash
from ovss.io.json_text import utf8_text
from ovss.io.markdown import markdown_table, markdown_text
from ovss.io.text import visible

from .records import ModelDescription, ModelFacts, ModelMetric

__all__ = ["card_metadata", "model_card"]

_TAGS = ("open-vocabulary", "semantic-segmentation", "image-segmentation")
_LISTED = 30
_METRICS = {"mIoU": "mean_iou", "mIoU_union": "mean_iou", "pACC": "accuracy"}
"""Identifiers of the hub for metrics; the others keep their names."""


def card_metadata(description: ModelDescription) -> dict[str, Any]:
    """Front matter of the card, as plain values."""
    facts = description.facts
    known: dict[str, Any] = {
        "library_name": "ovss",
        "pipeline_tag": "image-segmentation",
        "tags": list(_TAGS),
    }
    if facts.license:
        known["license"] = facts.license
    repositories = [name for name in facts.base if name.count("/") == 1 and " " not in name]
    if repositories:
        known["base_model"] = repositories
    if facts.datasets:
        known["datasets"] = list(facts.datasets)
    if facts.metrics:
        ids = (_METRICS.get(metric.headline, metric.headline) for metric in facts.metrics)
        known["metrics"] = list(dict.fromkeys(ids))
        known["model-index"] = [
            {"name": description.name, "results": [_result(each) for each in facts.metrics]}
        ]
    return known


def _result(metric: ModelMetric) -> dict[str, Any]:
    """Entry of the model index; the hub shows the name of a metric, so that names the protocol."""
    protocol = f"{metric.protocol}, full hash {metric.full_hash}"
    return {
        "task": {"type": "image-segmentation", "name": "Open-vocabulary semantic segmentation"},
        "dataset": {
            "type": metric.dataset.partition(" ")[0],
            "name": metric.dataset,
            "args": {"protocol": metric.protocol, "hash": metric.full_hash},
        },
        "metrics": [
            {
                "type": _METRICS.get(metric.headline, metric.headline),
                "name": f"{metric.headline} in percent (protocol {protocol})",
                "value": round(metric.values[metric.headline], 2),
            }
        ],
    }


def model_card(
    description: ModelDescription, foreign: Sequence[str] = (), *, bundled: bool = False
) -> str:
    """Text of the card.

    Args:
        description: content of ``config.json``.
        foreign: modules that belong to none of the installed plugins.
        bundled: True for a model of the package, which is built by its name.
    """
    facts = description.facts
    sections = [
        f"---\n{yaml_text(card_metadata(description))}---\n",
        f"# {markdown_text(description.name)}\n",
        markdown_text(facts.title) + "\n" if facts.title else "",
        f"> {markdown_text(description.note)}\n" if description.note else "",
        _use(description, foreign, bundled),
        _section("Results", _results(facts.metrics)),
        _section("Training data", _training(facts)),
        _section("Limits", [facts.limits] if facts.limits else []),
        _section("Model", _model(description)),
        _section("Vocabulary of the evaluation", _vocabulary(facts)),
        _section("From its config", _verbatim(facts.description)),
        _section("Links", [f"- {t}: {address}" for t, address in facts.links.items()]),
    ]
    return utf8_text("\n".join(filter(None, sections)))


def yaml_text(values: Mapping[str, Any]) -> str:
    """Plain values as YAML: one key a line, whose value is JSON, which YAML contains.

    >>> yaml_text({"license": "mit", "tags": ["a"]})
    'license: "mit"\\ntags: ["a"]\\n'
    """
    lines = (f"{key}: {json.dumps(value, ensure_ascii=True)}\n" for key, value in values.items())
    return "".join(lines)


def _section(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"## {title}\n\n{text}\n" if text else ""


def _use(description: ModelDescription, foreign: Sequence[str], bundled: bool) -> str:
    facts = description.facts
    words = ", ".join(name.partition(",")[0] for name in facts.vocabulary[:3]) or "cat, dog, grass"
    text = json.dumps(words, ensure_ascii=False)
    name, permission = json.dumps(description.name), ", allow_code=True" if foreign else ""
    folder = f'Inferencer.from_pretrained("FOLDER_OR_REPOSITORY"{permission})'
    values = {
        "words": text,
        "call": f"Inferencer({name})" if bundled else folder,
        "model": description.name if bundled else "FOLDER",
    }
    lines = [_template("card_use.txt", values)]
    if not foreign:
        lines.append(_template("card_command.txt", values))
    needed = sorted({_package(plugin) for plugin in description.plugins})
    if needed and not bundled:
        lines += [f"It needs {', '.join(needed)}. No code of this folder is executed."]
    if foreign:
        lines += [
            f"It needs the modules {', '.join(map(visible, foreign))}, which belong to none of the "
            f"plugins of ovss. Read them before you allow them.",
        ]
    return _section("Use", ["\n\n".join(lines)])


def _template(name: str, values: Mapping[str, str]) -> str:
    """Text of a file of this package with values filled in."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return text.format_map(values).rstrip("\n")


def _package(plugin: Mapping[str, str]) -> str:
    return f"{plugin['distribution']} {plugin['version']} (plugin `{plugin['name']}`)"


def _results(metrics: Sequence[ModelMetric]) -> list[str]:
    if not metrics:
        return ["No result of an evaluation is recorded."]
    names = list(dict.fromkeys(name for metric in metrics for name in metric.values))
    rows = [
        [
            metric.dataset,
            f"{metric.protocol}",
            metric.full_hash,
            str(metric.images),
            *(f"{metric.values[name]:.1f}" if name in metric.values else "" for name in names),
        ]
        for metric in metrics
    ]
    table = markdown_table(["dataset", "protocol", "full hash", "images", *names], rows, 3)
    return [*table, "", "In percent. `ovss list protocols` explains the protocols and hashes."]


def _training(facts: ModelFacts) -> list[str]:
    lines = [facts.training] if facts.training else []
    lines += [f"Pre-trained weights: {', '.join(facts.base)}."] if facts.base else []
    return lines or ["Not stated."]


def _model(description: ModelDescription) -> list[str]:
    model = description.model
    inference: Mapping[str, Any] = model.get("inference") or {}
    rows = [
        [key.replace("_", "-"), str(block.get("type", ""))]
        for key, block in model.items()
        if isinstance(block, Mapping) and "type" in block
    ]
    templates = (model.get("prompts") or {}).get("templates", ())
    rows += [
        ["parameters", f"{description.weights.get('parameters', 0):,}"],
        ["number type", "float16" if description.weights.get("half") else "float32"],
        ["prompt templates", str(len(templates))],
        ["synonyms", str((model.get("prompts") or {}).get("synonyms"))],
        ["view", f"{inference.get('mode')}, size {inference.get('size')}"],
    ]
    if protocol := description.facts.protocol:
        rows.append(["protocol", f"{protocol.get('name')} (full hash {protocol.get('full_hash')})"])
    if description.ovss_version:
        rows.append(["saved with", f"ovss {description.ovss_version}"])
    return markdown_table(["part", "value"], rows, 2)


def _vocabulary(facts: ModelFacts) -> list[str]:
    if not facts.vocabulary:
        return []
    names = [markdown_text(name) for name in facts.vocabulary[:_LISTED]]
    rest = len(facts.vocabulary) - len(names)
    more = f" and {rest} more" if rest else ""
    count = f"{len(facts.vocabulary)} categories (hash {short_hash(list(facts.vocabulary))})"
    return [f"{count}: {'; '.join(names)}{more}. You can segment any other categories."]


def _verbatim(text: str) -> list[str]:
    lines = [visible(line) for line in text.replace("```", "'''").splitlines()]
    return ["```text", *lines, "```"] if text.strip() else []
