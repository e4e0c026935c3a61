"""Checks of what came out of a case: status, message, files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .cases import Call
from .files import CANARY, Snapshot, problems_of_files, strict_json

LONGEST = 1500
"""Characters that the message of one error may have."""

NEVER = re.compile(
    r"Traceback \(most recent|File \"[^\"]+\", line \d+, in "
    r"|'[\w.]+' object (has no attribute|is not|cannot|does not)|for object of type"
    r"|(list|string|tuple|array|pop) ?index out of range|index out of range"
    r"|sequence item \d|unhashable type|not subscriptable|unexpected keyword argument"
    r"|invalid literal for|could not convert string|maximum recursion|RecursionError"
    r"|takes \d+ positional|missing \d+ required|takes no arguments"
    r"|not supported between instances|unsupported operand|bad operand"
    r"|expected str, bytes or os\.PathLike|must be str, not|must be real number, not"
    r"|not callable|values to unpack|cannot unpack|dictionary update sequence"
    r"|<class '|<built-in|<function |<object| object at 0x|division by zero"
    r"|cannot convert float|cannot access local variable|referenced before assignment"
    r"|Exceeds the limit \(\d+ digits?\)|list indices must be|string indices must be"
    r"|can only concatenate|argument of type|math domain|math range|truth value of an"
    r"|unsupported format string|not JSON serializable|Out of range float"
    r"|Logging error|Exception ignored|setting an array element|Python int too large"
)
"""Texts of Python that no message may hold."""

UNEXPECTED = "(--debug shows where)"
"""End of the message of an error that is not for users, see `ovss.cli.main.describe`."""

ALONE = re.compile(
    r"^('[\w.-]+' codec can't|embedded null|\[Errno|surrogates not allowed|Expecting |Extra data"
    r"|[\w'.\[\]-]+\.?$|\(\d+, '|[A-Z]\w+(Error|Exception)\b|unterminated|invalid syntax)"
)
"""Messages that are nothing but Python's own, or a bare name."""


@dataclass(frozen=True)
class Ending:
    """Ending of a call.

    Args:
        status: exit status; -1 if there was none.
        out: standard output.
        err: standard error.
        reason: why there was no status; empty if there was one.
        native: output of compiled libraries, past Python's streams.
    """

    status: int
    out: str
    err: str
    reason: str
    native: str = ""


def problems_of(call: Call, ending: Ending, folder: Path, before: Snapshot) -> Iterator[str]:
    """Everything that is wrong with the ending of a call."""
    messages = messages_of(ending.err)
    shown = "; ".join(messages)[:400] or ending.out.strip()[-200:]
    if ending.reason:
        yield ending.reason
    elif ending.status not in call.statuses:
        wanted = " or ".join(map(str, sorted(call.statuses)))
        yield f"status {ending.status} instead of {wanted}: {shown!r}"
    if not call.quotes_python:
        yield from _texts(ending)
    yield from _problems_of_messages(ending, messages)
    if ending.status > 0 and call.has_error:
        if not messages:
            yield f"status {ending.status} without a message: {ending.err[-200:]!r}"
        elif call.names and not any(name in ending.err for name in call.names):
            yield f"the message names none of {call.names}: {shown!r}"
    if ending.status == 0:
        yield from _problems_of_json(call, ending.out)
        yield from (f"{name} is missing" for name in call.expects if not (folder / name).exists())
        problem = call.check(folder) if call.check else ""
        yield from [problem] * bool(problem)
    else:
        yield from (f"{name} was written" for name in call.absent if (folder / name).exists())
    if (folder / CANARY).exists():
        yield "code in the input was run"
    yield from problems_of_files(folder, before, call.may_change)


def messages_of(err: str) -> list[str]:
    """Error messages in the standard error, without the usage of argparse."""
    lines = err.replace("\r", "\n").splitlines()
    found = (re.search(r"^(?:ovss[\w .-]*: )?error: (.*)", line) for line in lines)
    return [match[1] for match in found if match]


def _texts(ending: Ending) -> Iterator[str]:
    for text in (ending.err, ending.out, ending.native):
        match = NEVER.search(text)
        if match:
            around = text[max(match.start() - 160, 0) : match.end() + 100]
            yield f"Python's own words {match[0]!r} in {around!r}"


def _problems_of_messages(ending: Ending, messages: list[str]) -> Iterator[str]:
    if UNEXPECTED in ending.err + ending.out:
        yield f"an error that nobody expected: {ending.err[-300:]!r}"
    for message in messages:
        if len(message) > LONGEST:
            yield f"a message of {len(message)} characters: {message[:200]!r}"
        if ALONE.search(message):
            yield f"a bare message: {message[:200]!r}"
    if "\x1b" in ending.out + ending.err:
        yield "control characters of the input on the terminal"


def _problems_of_json(call: Call, out: str) -> Iterator[str]:
    """Problems of a standard output that has to be JSON."""
    if not isinstance(call.run, tuple) or "--json" not in call.run:
        return
    if call.run[0] not in ("segment", "list", "config", "complexity", "doctor", "prepare"):
        return
    documents = out.splitlines() if call.run[0] == "segment" else [out]
    for document in documents:
        try:
            strict_json(document)
        except (ValueError, json.JSONDecodeError) as error:
            yield f"the standard output is not JSON ({error}): {document[:100]!r}"
