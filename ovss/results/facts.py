"""Facts for model cards that come from results and from the zoo."""

from __future__ import annotations

from pathlib import Path

from ovss.hub.records import ModelMetric
from ovss.io.excerpts import excerpt
from ovss.io.fingerprint import sha256
from ovss.io.strict_json import parse_json
from ovss.io.typed import record_from
from ovss.segmentor import OpenVocabSegmentor

from .records import Result, ResultError
from .zoo import method_of

__all__ = [
    "BUNDLED_RESULTS",
    "bundled_metrics",
    "links_of_config",
    "metric_of_result",
    "recorded_metric",
]

BUNDLED_RESULTS = Path(__file__).with_name("bundled.json")
"""Results of the bundled models, which `tools/model_cards.py` writes from files of `ovss test`."""


def bundled_metrics() -> dict[str, ModelMetric]:
    """Recorded result of each bundled model by name."""
    content = parse_json(BUNDLED_RESULTS.read_bytes())
    return {
        name: record_from(
            ModelMetric, entry["metric"], f"{name} in {BUNDLED_RESULTS}", "Correct it"
        )
        for name, entry in content.items()
    }


def recorded_metric(name: str, model: OpenVocabSegmentor) -> ModelMetric | None:
    """Recorded result of a bundled model; None if there is none, or if it has other weights."""
    entry = parse_json(BUNDLED_RESULTS.read_bytes()).get(name)
    if entry is None or entry["model_sha256"] != sha256(model.state_dict()):
        return None
    return bundled_metrics()[name]


def metric_of_result(
    result: Result,
    model: OpenVocabSegmentor | None = None,
    name: str = "",
    source: str = "The result",
) -> ModelMetric:
    """Result of an evaluation as a model card shows it.

    Args:
        result: result of `ovss test`.
        model: model that is saved; None skips the comparison of its weights.
        name: name of the method that is saved; methods without training share their weights.
        source: file of the result, for messages.

    Raises:
        ResultError: the result belongs to other weights, or to another method.
    """
    if model is not None and Path(result.config_name).stem != name:
        raise ResultError(
            f"{source} belongs to the method {excerpt(result.config_name)}, but {excerpt(name)} is "
            f"saved. Evaluate this method with `ovss test`, or leave the result out"
        )
    if model is not None and sha256(model.state_dict()) != result.weights.model_sha256:
        raise ResultError(
            f"{source} belongs to other weights than those that are saved. Evaluate these weights "
            f"with `ovss test`, or leave the result out"
        )
    return ModelMetric(
        dataset=result.data.name,
        values={name: value for name, value in result.metrics.items() if value is not None},
        headline=result.headline,
        protocol=result.protocol.name,
        method_hash=result.protocol.method_hash,
        full_hash=result.protocol.full_hash,
        images=result.data.images,
    )


def links_of_config(config: Path) -> dict[str, str]:
    """Paper and official code of the published method of a bundled config."""
    method = method_of(config)
    if method is None:
        return {}
    links = {}
    if method.paper:
        links[f"{method.name}, {method.venue}"] = f"https://arxiv.org/abs/{method.paper}"
    if method.code:
        license_text = f" ({method.license})" if method.license else ""
        links[f"official code{license_text}"] = f"https://github.com/{method.code}"
    return links
