"""Reads plan files: YAML or JSON of plain values, in which every key has to be known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ovss.io.excerpts import excerpt, shortened
from ovss.io.safe_handlers import safe_yaml
from ovss.io.strict_json import parse_json
from ovss.io.text import control_character, read_utf8

from .plan import AblationGroup, AblationRow, ComparedMethod, ReportPlan

__all__ = ["PlanError", "read_plan"]

_LARGEST = 1 << 20  # bytes
_MOST_SIZE = 1_000_000
_PLAN = {
    "title", "methods", "datasets", "categories", "images", "within", "temperature", "examples",
    "ablations",
}  # fmt: skip
_METHOD = {"config", "weights", "label"}
_GROUP = {
    "title", "rows", "full", "published", "datasets", "results", "config", "thresholds", "note",
}  # fmt: skip
_ROW = {"row", "config", "title", "published", "weights"}


class PlanError(ValueError):
    """A plan file cannot be read, or has an unknown key or a wrong value."""


def read_plan(path: str | Path) -> ReportPlan:
    """Reads a plan.

    Paths of weights and results are relative to the working directory.

    Raises:
        PlanError: the file holds something else; the message names the key.
        FileNotFoundError: the file does not exist.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise PlanError(f"Expected a plan ending in .yaml, .yml or .json, got {path}. Rename it")
    try:
        text = read_utf8(path, _LARGEST)
        content = parse_json(text) if path.suffix == ".json" else safe_yaml(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path} cannot be read: {shortened(str(error), 300)}") from None
    return _Reader(path).plan(content)


class _Reader:
    """Converts plain values to a plan; messages name the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def plan(self, content: Any) -> ReportPlan:
        values = self.mapping(content, _PLAN, "the plan")
        methods = self.sequence(values, "methods", "the plan")
        datasets = self.texts(values, "datasets", "the plan")
        if not methods or not datasets:
            raise self.error("the plan needs at least one of 'methods' and one of 'datasets'")
        known: dict[str, Any] = {}
        if "title" in values:
            known["title"] = self.text(values, "title", "the plan")
        if "categories" in values:
            sizes = self.sequence(values, "categories", "the plan")
            known["categories"] = tuple(
                self.integer(size, "categories", 1, _MOST_SIZE) for size in sizes
            )
        for key, low, high in (("images", 1, 1_000_000), ("examples", 0, 20)):
            if key in values:
                known[key] = self.integer(values[key], key, low, high)
        for key in ("within", "temperature"):
            if key in values:
                known[key] = self.formatted(values[key], key, 0, 1000)
        groups = self.sequence(values, "ablations", "the plan")
        return ReportPlan(
            tuple(self.method(each) for each in methods),
            datasets,
            ablations=tuple(self.group(each, i) for i, each in enumerate(groups, 1)),
            **known,
        )

    def method(self, content: Any) -> ComparedMethod:
        if isinstance(content, str):
            return ComparedMethod(self.checked(content, "methods"))
        values = self.mapping(content, _METHOD, "a method")
        texts = {key: self.text(values, key, "a method") for key in _METHOD & values.keys()}
        if not texts.get("config"):
            raise self.error("a method needs the key 'config'")
        return ComparedMethod(**texts)

    def group(self, content: Any, number: int) -> AblationGroup:
        where = f"ablation {number}"
        values = self.mapping(content, _GROUP, where)
        texts = {
            key: self.text(values, key, where)
            for key in ("title", "full", "published", "results", "config", "note")
            if key in values
        }
        rows = tuple(
            self.row(each, f"row {i} of {where}")
            for i, each in enumerate(self.sequence(values, "rows", where), 1)
        )
        thresholds = tuple(
            self.formatted(value, f"thresholds of {where}", 0, 1)
            for value in self.sequence(values, "thresholds", where)
        )
        if not texts.get("title"):
            raise self.error(f"{where} needs the key 'title'")
        if bool(rows) == bool(thresholds) or bool(thresholds) != bool(texts.get("config")):
            raise self.error(f"{where} needs either 'rows', or 'config' and 'thresholds'")
        names = [row.row for row in rows]
        if len(set(names)) < len(names):
            raise self.error(f"{where} has two rows of one name")
        if rows and texts.get("full") not in (None, "", *names):
            raise self.error(f"full of {where} names no row. Choose one of {', '.join(names)}")
        datasets = self.texts(values, "datasets", where)
        return AblationGroup(rows=rows, datasets=datasets, thresholds=thresholds, **texts)

    def row(self, content: Any, where: str) -> AblationRow:
        values = self.mapping(content, _ROW, where)
        texts = {key: self.text(values, key, where) for key in _ROW - {"weights"} & values.keys()}
        if not texts.get("row") or not texts.get("config"):
            raise self.error(f"{where} needs the keys 'row' and 'config'")
        weights = values.get("weights", {})
        if not isinstance(weights, Mapping):
            raise self.error(f"weights of {where} must be files by seed, such as {{0: a.pth}}")
        files = {
            self.checked(str(seed), where): self.checked(file, f"weights of {where}")
            for seed, file in weights.items()
        }
        return AblationRow(weights=files, **texts)

    def mapping(self, content: Any, known: Iterable[str], where: str) -> Mapping[str, Any]:
        if not isinstance(content, Mapping):
            raise self.error(f"{where} must hold keys and values, but holds {excerpt(content)}")
        for key in content:
            if key not in known:
                close = difflib.get_close_matches(str(key), sorted(known), n=1)
                hint = (
                    f"Did you mean {close[0]!r}" if close else f"Known: {', '.join(sorted(known))}"
                )
                raise PlanError(f"Unknown key {excerpt(key)} in {where} in {self.path}. {hint}?")
        return content

    def sequence(self, values: Mapping[str, Any], key: str, where: str) -> list[Any]:
        found = values.get(key, [])
        if not isinstance(found, list):
            raise self.error(f"{key} of {where} must be a list, but is {excerpt(found)}")
        return found

    def texts(self, values: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        return tuple(self.checked(each, key) for each in self.sequence(values, key, where))

    def text(self, values: Mapping[str, Any], key: str, where: str) -> str:
        return self.checked(values[key], f"{key} of {where}")

    def checked(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"{where} must be text, but is {excerpt(value)}")
        hidden = control_character(value)
        if hidden:
            raise self.error(f"{where} contains the control character {hidden}")
        return value

    def integer(self, value: Any, where: str, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            limits = f"an integer from {low:,} to {high:,}"
            raise self.error(f"{where} must be {limits}, but is {excerpt(value)}")
        return value

    def formatted(self, value: Any, where: str, low: float, high: float) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise self.error(f"{where} must be from {low:g} to {high:g}, but is {excerpt(value)}")
        return float(value)

    def error(self, problem: str) -> PlanError:
        return PlanError(f"In {self.path}, {problem}. Correct the plan")
