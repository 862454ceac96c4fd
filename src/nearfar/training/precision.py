"""In what precision an encoder computes, as the hardware has it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, DistributedType

from nearfar.errors import InputError
from nearfar.settings import Precision, Settings
from nearfar.training.ranks import many

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

UNSUPPORTED = {DistributedType.DEEPSPEED: "DeepSpeed", DistributedType.XLA: "XLA"}


def make_accelerator(precision: Precision | None) -> Accelerator:
    """The accelerator of this run: its device, its precision, its ranks.

    Args:
        precision: None takes what `accelerate config` names; else bf16 on a GPU that has it; else "no", float32.

    Raises:
        InputError: the hardware has not this precision, or accelerate is configured for DeepSpeed or XLA.
    """
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    on_cpu = many() and not torch.cuda.is_available()
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="no")
    if name := UNSUPPORTED.get(accelerator.distributed_type):
        raise InputError(f"accelerate: found {name}, wanted plain ranks or FSDP (docs/scaling.md)")
    chosen = check_precision(precision, accelerator.device.type)
    if chosen == "no":
        return accelerator
    AcceleratorState._reset_state()
    return Accelerator(cpu=on_cpu, mixed_precision=chosen)


def check_precision(precision: Precision | None, device: str) -> Precision:
    """The precision of a device, checked or chosen; see `make_accelerator`."""
    configured = os.environ.get("ACCELERATE_MIXED_PRECISION")
    if precision is None and configured in ("bf16", "fp16"):
        precision = "bf16" if configured == "bf16" else "fp16"
    if precision is None:
        return "bf16" if device == "cuda" and _native_bf16() else "no"
    if precision == "fp16" and device != "cuda":
        raise InputError(f"precision: found fp16 on {device}, wanted no or bf16: float16 needs a GPU")
    if precision == "bf16" and device == "cuda" and not _native_bf16():
        name = torch.cuda.get_device_name()
        raise InputError(f"precision: found bf16 on {name}, which does not compute in it, wanted fp16 or no")
    if precision == "bf16" and device not in ("cuda", "cpu"):
        raise InputError(f"precision: found bf16 on {device}, wanted no")
    return precision


def note_on(settings: Settings, model: SentenceTransformer) -> str:
    """What a person should know of the precision of a run, or ""; on a CPU it is tried for a moment."""
    on_cpu = settings.precision == "bf16" and model.device.type == "cpu"
    if on_cpu and _product_seconds(torch.bfloat16) >= _product_seconds(torch.float32):
        return "this processor multiplies in bf16 no faster than in float32: it saves memory and nothing else"
    return ""


def _product_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones((512, 512), dtype=dtype), torch.ones((512, 512), dtype=dtype)
    left[:16] @ right  # the first product sets things up
    start = time.perf_counter()
    left @ right
    return time.perf_counter() - start


def _native_bf16() -> bool:
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
