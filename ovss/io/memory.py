"""Memory that a process can still use: of the machine, of its container, of its own limit."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Memory", "available_memory", "resident_bytes"]

_UNLIMITED = 1 << 60  # control groups of version 1 write a number near 2**63 for "no limit"


@dataclass(frozen=True)
class Memory:
    """Memory that is left, and the limit that it is left of.

    Args:
        left: bytes that can still be allocated.
        total: bytes of the limit.
        limit: name of the limit, for messages.
    """

    left: int
    total: int
    limit: str

    def __str__(self) -> str:
        gib = 1 << 30
        return f"{self.left / gib:.2f} of {self.total / gib:.2f} GiB of memory ({self.limit})"


def available_memory(root: Path = Path("/")) -> Memory | None:
    """Smallest of the limits that apply to this process; None if the system states none.

    These are the memory of the machine, the limits of its control groups (containers, batch
    systems) in version 1 and 2, and the limit of the address space (``ulimit -v``).

    Args:
        root: folder of the file system in which the system's files are looked up.
    """
    found = [_machine(root), *_control_groups(root), _address_space(root)]
    return min((memory for memory in found if memory), key=lambda m: m.left, default=None)


def resident_bytes(field: str = "VmRSS") -> int | None:
    """Resident memory of this process; None if the system does not state it.

    Args:
        field: ``VmRSS`` for the present memory, ``VmHWM`` for its peak.
    """
    size = _fields(Path("/proc/self/status")).get(field)
    return None if size is None else size << 10


def _machine(root: Path) -> Memory | None:
    sizes = _fields(root / "proc/meminfo")
    if not {"MemAvailable", "MemTotal"} <= sizes.keys():
        return None
    return Memory(sizes["MemAvailable"] << 10, sizes["MemTotal"] << 10, "whole machine")


def _control_groups(root: Path) -> list[Memory]:
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if not kinds:
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in kinds.split(","):
            base = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        # in a container the path is that of the host, and the files of its root apply
        parts = Path(path.strip().lstrip("/")).parts
        for depth in range(len(parts), -1, -1):
            folder = base.joinpath(*parts[:depth])
            memory = _limit_of_group(folder, *names)
            found += [memory] if memory else []
    return found


def _limit_of_group(folder: Path, limit_name: str, usage_name: str) -> Memory | None:
    limit, usage = _text(folder / limit_name).strip(), _text(folder / usage_name).strip()
    if not (limit.isdecimal() and usage.isdecimal()) or int(limit) >= _UNLIMITED:
        return None
    stated = dict(line.split()[:2] for line in _text(folder / "memory.stat").splitlines() if line)
    # the system drops files from its cache before it ends a process
    cached = stated.get("total_inactive_file", stated.get("inactive_file", "0"))
    left = int(limit) - int(usage) + (int(cached) if cached.isdecimal() else 0)
    return Memory(max(0, min(left, int(limit))), int(limit), "limit of the container or job")


def _address_space(root: Path) -> Memory | None:
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    size = _fields(root / "proc/self/status").get("VmSize")
    if limit in (resource.RLIM_INFINITY, -1) or limit >= _UNLIMITED or size is None:
        return None
    return Memory(max(0, limit - (size << 10)), limit, "limit of the address space, ulimit -v")


def _fields(path: Path) -> dict[str, int]:
    """Sizes in KiB of a file with lines such as ``VmRSS:  12 kB``."""
    pairs = (line.partition(":") for line in _text(path).splitlines() if line.endswith(" kB"))
    return {name: int(value.split()[0]) for name, _, value in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
