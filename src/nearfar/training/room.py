"""How much memory the scores of a strip may take."""

from __future__ import annotations

import torch

from nearfar.encoders.memory import free_bytes
from nearfar.execution.settings import MAX_BYTES

SHARE = 16
"""One part in so many of the free memory."""

LEAST = 2**20


def strip_bytes(device: torch.device | str) -> int:
    """Most bytes for a strip's scores: a sixteenth of the free memory, a power of two between 1 MiB and the default.

    More than the default would buy nothing on a CPU: a strip is to stay near the cache. A power of two, so that a run
    that is repeated while a little more memory is free takes the same strips, and gives the same model.

    Args:
        device: that the embeddings are on.
    """
    share = free_bytes(torch.device(device)) // SHARE
    return MAX_BYTES if share >= MAX_BYTES else max(LEAST, 1 << (share.bit_length() - 1))
