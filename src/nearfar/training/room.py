"""How much memory the scores of a strip may take."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

from nearfar.execution.settings import MAX_BYTES

SHARE = 16
"""One part in so many of the free memory."""

LEAST = 2**20

CGROUP = Path("/sys/fs/cgroup")
"""Where a container's limits stand, in version 2; beyond it free memory is what the machine says."""


def strip_bytes(device: torch.device | str) -> int:
    """Most bytes for a strip's scores: a sixteenth of the free memory, a power of two between 1 MiB and the default.

    More than the default would buy nothing on a CPU: a strip is to stay near the cache. A power of two, so that a run
    that is repeated while a little more memory is free takes the same strips, and gives the same model.

    Args:
        device: that the embeddings are on.
    """
    share = free_bytes(torch.device(device)) // SHARE
    return MAX_BYTES if share >= MAX_BYTES else max(LEAST, 1 << (share.bit_length() - 1))


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on the device; on a CPU, in the container if there is one."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    found = [int(psutil.virtual_memory().available)]
    with suppress(OSError, ValueError):  # not there, or "max"
        limit, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        lines = (line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        cached = sum(int(value) for name, value in lines if name in ("active_file", "inactive_file"))
        found.append(max(0, limit - used + cached))
    return min(found)
