"""From a method to a number that can be trusted, and what is kept of it.

How is measured, told by what runs:
  protocol         the fields, their hash; protocols: those that have a name
  protocol_read    off a config; protocol_write: into one; protocol_checks: what can be asked for
What is measured:
  iou              counts and figures; metric: `OpenVocabIoU`, words to classes, seen classes
  loop             `ResumableTestLoop`; state: its files; plan: what processes agree on; cost
What is kept:
  run              from a config to a result: `ovss test` and `ovss reproduce` both do it
  result_file      the JSON file; record: gathers its facts; config_text: a config as text
  reproduce        a recorded evaluation set up again; comparison: figure by figure
  table            results side by side; table_markdown, table_html, published
"""

from __future__ import annotations

from importlib import import_module


def register_evaluation() -> None:
    """Register the metric, the loop that can be continued, and its sampler; idempotent."""
    for module in ("metric", "loop"):
        import_module(f"ovss.evaluation.{module}")
