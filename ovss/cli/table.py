"""Results side by side, as Markdown and HTML.

  ovss table results/*.json                          Markdown, printed
  ovss table results/*.json --html table.html --markdown table.md
  ovss table --published all                         what papers say, nothing measured

Rows are methods under a protocol, columns data sets. Published figures stand in columns of their
own with their sources; what nobody ran is empty. The table of parameters, seconds and memory of
every method is `ovss benchmark table`.
"""

from __future__ import annotations

import argparse

PUBLISHED = ("matching", "all", "none")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every flag of `ovss table`."""
    parser.add_argument("results", nargs="*", metavar="RESULT.json", help="of ovss test --out")
    parser.add_argument("--markdown", metavar="FILE", help="write it there instead of printing it")
    parser.add_argument("--html", metavar="FILE", help="and as one page with every category")
    parser.add_argument("--metric", default="mIoU", help="mIoU (default), mIoU_union, hIoU, ...")
    parser.add_argument(
        "--published",
        nargs="?",
        choices=PUBLISHED,
        const="all",
        default="matching",
        help="figures of papers: of the methods that were run (default), of all, of none",
    )


def run(args: argparse.Namespace) -> int:
    """Nothing is written unless every file is a result.

    Raises:
        ValueError: no results. ResultError: a file that is none, with its name.
    """
    from ovss.io.files import write_text
    from ovss.results.result_file import read_result
    from ovss.results.table import make_grid
    from ovss.results.table_html import as_html
    from ovss.results.table_markdown import as_markdown

    every = args.published == "all"
    if not args.results and not every:
        raise ValueError("name result files of `ovss test --out FILE`, or ask for --published all")
    results = [(path, read_result(path)) for path in dict.fromkeys(args.results)]
    grid = make_grid(results, args.metric, args.published)
    pages = [(args.markdown, as_markdown), (args.html, as_html)]
    for path, text in [(path, make(grid, every)) for path, make in pages if path]:
        write_text(path, text)
        print(f"wrote {path}")
    if not args.markdown and not args.html:
        print(as_markdown(grid, every), end="")
    return 0
