"""Check this installation: versions, device, weights, caches, plugins; 1 if something is broken."""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def run(args: argparse.Namespace) -> int:
    from ..doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not args.json:
            print(f"{finding.state:8} {finding.topic:22} {finding.text}", flush=True)
    if args.json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=2))
    problems = sum(finding.state == "problem" for finding in findings)
    if not args.json:
        print(f"{problems} problem{'' if problems == 1 else 's'} found")
    return 1 if problems else 0
