"""Methods in one table: accuracy, parameters, FLOPs, time, memory: benchmark.py METHOD ...

METHOD is a config's name or path; settings follow commas: cat_seg_mini,model.selector.k=8
Without one: every method at mini scale that needs no training or whose weights come along.
Each runs in a process of its own, on the same pictures. What --json keeps is not made again.
"""

from __future__ import annotations

import argparse
import shlex
from functools import partial

from ovss.benchmark.arguments import by_method
from ovss.benchmark.table import run
from ovss.benchmark.table_jobs import methods_with_weights, plan
from ovss.benchmark.table_text import as_markdown, as_text
from ovss.io.files import write_atomic


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("methods", nargs="*", metavar="METHOD")
    add(
        "--on",
        nargs="+",
        metavar="DATASET",
        default=["mini_20", "mini_150", "mini_556"],
        help="as ovss test takes them [mini_20 mini_150 mini_556]",
    )
    add("--scenes", type=int, default=200, help="pictures of each [200]")
    add(
        "--weights",
        nargs="+",
        metavar="METHOD=FILE",
        help="[the config's own]; METHOD=none: random ones",
    )
    add("--device", default="cpu")
    add("--json", metavar="FILE", help="keeps every row as it is made; known ones are not made")
    add("--again", action="store_true", help="make known ones, too")
    add("--markdown", metavar="FILE", help="the table for a document")
    args = parser.parse_args(argv)
    if args.scenes < 1:
        parser.error(f"--scenes is at least 1, got {args.scenes}")
    methods = list(dict.fromkeys(args.methods)) or methods_with_weights()
    weights = by_method(args.weights, methods)
    jobs = plan(methods, list(dict.fromkeys(args.on)), args.scenes, weights, args.device)
    rows = run(jobs, args.json, args.again, partial(print, flush=True))
    print(as_text(rows))
    if args.markdown:
        given = vars(parser.parse_args(argv))
        text = as_markdown(rows, command(given))
        write_atomic(args.markdown, lambda file: file.write(text.encode()))


def command(given: dict) -> str:
    """What makes these rows again, wherever files are kept."""
    words = ["python", "tools/benchmark.py", *given["methods"]]
    for flag in ("on", "scenes", "weights", "device"):
        value = given[flag]
        if value is not None:
            words += [f"--{flag}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    return shlex.join(words)


if __name__ == "__main__":
    main()
