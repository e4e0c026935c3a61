"""Checks a machine with a GPU: device tests, outputs against a CPU, speed and memory.

  python tools/gpu_check.py                          every method on the first GPU, in hours
  python tools/gpu_check.py --methods cat_seg_vit-b16 dcp_clip_vit-b16
  python tools/gpu_check.py --device cpu             the same in small on a CPU, in minutes

It writes gpu_check.json and gpu_check.md into --out, after each method and whole or not at all.
Weights are random, so that nothing is downloaded. The exit status is 0 if every test passed and
every method could be compared and measured, 1 if not, and 2 for wrong usage. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import gc
import re
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gpu_checking.outputs import compared
from gpu_checking.plan import CheckPlan, machine
from gpu_checking.report import markdown
from gpu_checking.speed import attempt, method_cases, official_cases

from ovss.benchmark.arguments import write_json
from ovss.io.files import write_text

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("gpu_check: this machine has no GPU; use --device cpu", file=sys.stderr)
        return 2
    is_tiny = args.tiny or torch.device(args.device).type == "cpu"
    plan = CheckPlan.tiny(args.device) if is_tiny else CheckPlan.full(args.device)
    if args.methods:
        official = tuple(name for name in plan.official if is_tiny or name in args.methods)
        plan = replace(plan, methods=tuple(args.methods), official=official)
    if args.categories:
        plan = replace(plan, categories=tuple(args.categories))
    result = checked(plan, Path(args.out), not args.no_tests)
    print(f"wrote {args.out}/gpu_check.json and {args.out}/gpu_check.md")
    return int(has_failed(result))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu (default: cuda)")
    parser.add_argument("--methods", nargs="+", metavar="CONFIG", help="configs (default: all)")
    parser.add_argument("--categories", nargs="+", type=int, metavar="N", help="vocabulary sizes")
    parser.add_argument("--tiny", action="store_true", help="mini methods on a small image")
    parser.add_argument("--no-tests", action="store_true", help="leave the device tests out")
    parser.add_argument("--out", default="outputs/gpu_check", metavar="FOLDER")
    return parser


def checked(plan: CheckPlan, out: Path, with_tests: bool) -> dict[str, Any]:
    """Runs all parts and writes the result after each method."""
    out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "machine": machine(plan.device),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "plan": asdict(plan),
        "tests": device_tests(plan.device) if with_tests else NO_TESTS,
        "outputs": {},
        "speed": {},
        "official": {},
    }
    for name in plan.methods:
        print(name, flush=True)
        result["outputs"][name] = attempt(lambda name=name: compared(name, plan))
        result["speed"][name] = attempt(lambda name=name: method_cases(name, plan))
        write(result, out)
    for name in plan.official:
        print(f"{name}, official layout", flush=True)
        result["official"][name] = attempt(lambda name=name: official_cases(name, plan))
        write(result, out)
    return result


def write(result: dict[str, Any], out: Path) -> None:
    """Writes what is known so far."""
    gc.collect()
    write_json(str(out / "gpu_check.json"), result)
    write_text(str(out / "gpu_check.md"), markdown(result))


NO_TESTS = {"ran": False, "passed": 0, "failed": 0, "skipped": 0, "reasons": []}


def device_tests(device: str) -> dict[str, Any]:
    """Runs tests/device and counts its outcomes; the reasons of failures and skips are lines."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", "-rfEs", "tests/device"]
    command += ["--device", device]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    counts = {kind: 0 for kind in ("passed", "failed", "skipped")}
    lines = done.stdout.splitlines()
    for number, kind in re.findall(r"(\d+) (passed|failed|error|skipped)", "\n".join(lines[-3:])):
        counts["failed" if kind == "error" else kind] += int(number)
    reasons = [line for line in lines if line.startswith(("FAILED", "ERROR", "SKIPPED"))]
    if done.returncode not in (0, 1):
        counts["failed"] += 1
        reasons.append(f"pytest ended with status {done.returncode}: {done.stderr[-500:]}")
    return {"ran": True, **counts, "reasons": reasons}


def has_failed(result: dict[str, Any]) -> bool:
    """True if a test failed, or a method could not be compared or measured."""

    def has_error(part: Any) -> bool:
        return isinstance(part, dict) and ("error" in part or any(map(has_error, part.values())))

    # the official layout may need more memory than the device has
    parts = (result["outputs"], result["speed"])
    return bool(result["tests"]["failed"]) or any(map(has_error, parts))


if __name__ == "__main__":
    sys.exit(main())
