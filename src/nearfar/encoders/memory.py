"""How much memory there is for a batch, and how it shows that there was not enough."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nearfar.execution.graphs import SavedBytes
from nearfar.execution.replay import State

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

LEAST_CHUNK, CHUNK_OF_CPU, CHUNK_OF_GPU = 64, 1024, 16_384
"""Tokens. Two cores are busy with a thousand, and a larger chunk only holds more padding; a GPU wants more."""

PROBE = 64
"""Tokens of the text that memory is measured on."""

CGROUP = Path("/sys/fs/cgroup")
"""Where a container's limits stand, in version 2; beyond it free memory is what the machine says."""

COPIES = 5
"""Of the parameters: gradients, their sum over chunks, Adam's two moments, a best state."""


def free_bytes(device: torch.device) -> int:
    """Memory that this process may still take: of the device, or its share of that of the machine or container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    free: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no container, or "max"
        limit, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, max(0, limit - used + _cached_files()))
    return free // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # ranks on one machine, as torchrun counts them


def give_back() -> None:
    """Return to the system what was freed: glibc keeps tens of megabytes of it, in case they are asked for again."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _cached_files() -> int:
    """Bytes that the container counts as used and gives back when they are wanted."""
    try:
        lines = (line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return sum(int(value) for name, value in lines if name in ("active_file", "inactive_file"))
    except (OSError, ValueError):
        return 0


def bytes_a_token(model: SentenceTransformer) -> float:
    """What the graph of a forward pass in training keeps for each token of a short text."""
    ids = torch.full((1, PROBE), model[0].tokenizer.pad_token_id or 0, device=model.device)
    saved, modes = SavedBytes(), {module: module.training for module in model.modules()}
    with State.now().again(), torch.enable_grad(), saved.watch():
        model.train()({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    for module, training in modes.items():
        module.training = training
    return saved.total / PROBE


def fitting_chunk(model: SentenceTransformer) -> int:
    """Tokens of a chunk whose graph takes at most a quarter of the memory that is free; a power of two."""
    most = CHUNK_OF_CPU if model.device.type == "cpu" else CHUNK_OF_GPU
    fit = free_bytes(model.device) / 4 / max(bytes_a_token(model), 1)
    while most > LEAST_CHUNK and most > fit:
        most //= 2
    return most


def room_for_graphs(model: SentenceTransformer) -> int:
    """Half of the memory that is free once parameters have gradients and moments."""
    parameters = sum(each.numel() * each.element_size() for each in model.parameters())
    room: int = max(0, free_bytes(model.device) - COPIES * parameters) // 2
    return room


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a step failed for want of memory, on whichever device."""
    from accelerate.utils.memory import should_reduce_batch_size

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and (should_reduce_batch_size(error) or "not enough memory" in str(error))
