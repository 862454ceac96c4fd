"""Going on where memory ran out: the same step again, in smaller chunks."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from nearfar.encoders import Encoder
from nearfar.encoders.memory import is_out_of_memory
from nearfar.errors import RunError
from nearfar.execution.replay import State
from nearfar.training.ranks import many

Result = TypeVar("Result")


def with_relief(encoder: Encoder, attempt: Callable[[], Result], clear: Callable[[], None]) -> tuple[Result, str]:
    """What `attempt` returns; where it runs out of memory, in chunks of half the size, as often as it takes.

    The whole step is tried again, and under the random numbers of the first time: a chunk draws its dropout at once, so
    that half of it could not be encoded a second time as it was the first.

    Args:
        encoder: is halved.
        attempt: a forward and a backward pass.
        clear: what a failed attempt leaves behind is undone by it, half a gradient for one.

    Returns:
        The result, and a line about the halving or "".

    Raises:
        RunError: there is nothing left to halve.
    """
    state, note = State.now(), ""
    while True:
        try:
            return attempt(), note
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
        # Only here is what the attempt had made out of reach.
        clear()
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        chunk = None if many() else encoder.halve()  # other ranks are in the midst of the step and cannot begin anew
        if chunk is None:
            chunks = "a smaller --chunk-tokens, " if many() else ""
            raise RunError(f"out of memory ({reason}); try {chunks}a smaller --batch-size or fewer tokens a text")
        state.draw_again()
        note = f"out of memory; from here on {chunk:,} tokens are encoded at a time"
