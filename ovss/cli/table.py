"""Build a comparison table from result files, as Markdown or HTML.

  ovss table results/*.json                          print Markdown
  ovss table results/*.json --html table.html --markdown table.md
  ovss table --published all                         published numbers only

The table has one row per method and protocol and one column per dataset. Published numbers are in
separate columns with their sources, and a cell without a result stays empty. For a table of
parameters, time and memory use `ovss benchmark table`.
"""

from __future__ import annotations

import argparse

PUBLISHED = ("matching", "all", "none")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss table`."""
    parser.add_argument(
        "results", nargs="*", metavar="RESULT.json", help="files written by `ovss test --out`"
    )
    parser.add_argument(
        "--markdown", metavar="FILE", help="write Markdown to a file instead of printing it"
    )
    parser.add_argument("--html", metavar="FILE", help="write an HTML page with per-class IoU")
    parser.add_argument(
        "--metric", default="mIoU", metavar="NAME", help="mIoU (default), mIoU_union, hIoU, ..."
    )
    parser.add_argument(
        "--published",
        nargs="?",
        choices=PUBLISHED,
        const="all",
        default="matching",
        help="published numbers to include: those of the methods in RESULT.json (matching, the "
        "default), all or none",
    )


def run(args: argparse.Namespace) -> int:
    """Builds and writes the table; returns 0. It writes nothing if a result file is unreadable.

    Raises:
        ValueError: no result files, and not --published all.
        ResultError: a file that does not hold a result.
    """
    from ovss.io.files import ensure_target, write_text
    from ovss.results.result_file import read_result
    from ovss.results.table import make_grid
    from ovss.results.table_html import as_html
    from ovss.results.table_markdown import as_markdown

    every = args.published == "all"
    if not args.results and not every:
        raise ValueError(
            "Expected at least one RESULT.json. Name files written by `ovss test --out`, or use "
            "--published all"
        )
    for path in filter(None, (args.markdown, args.html)):
        ensure_target(path)
    results = [(path, read_result(path)) for path in dict.fromkeys(args.results)]
    grid = make_grid(results, args.metric, args.published)
    pages = [(args.markdown, as_markdown), (args.html, as_html)]
    for path, text in [(path, make(grid, every)) for path, make in pages if path]:
        write_text(path, text)
        print(f"wrote {path}")
    if not args.markdown and not args.html:
        print(as_markdown(grid, every), end="")
    return 0
