"""FSDP2 as `accelerate config` names it: a transformer whose parameters are shared out among the ranks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.state import DistributedType

from nearfar.data.views import View
from nearfar.encoders import Encoder
from nearfar.encoders.transformer import TransformerEncoder
from nearfar.errors import InputError
from nearfar.settings import Settings
from nearfar.training.perturbing import changes_vectors
from nearfar.training.ranks import many

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def wants_sharding(accelerator: Accelerator) -> bool:
    """Whether the environment asks for FSDP; accelerate itself looks at that on GPUs alone.

    Raises:
        InputError: it asks for version 1.
    """
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if not many() or not (asked or accelerator.distributed_type == DistributedType.FSDP):
        return False
    if (version := _plugin(accelerator).fsdp_version) != 2:
        raise InputError(f"accelerate: found FSDP {version}, wanted fsdp_version: 2 in its configuration")
    return True


def fully_sharded(encoder: Encoder, settings: Settings, views: Sequence[View], accelerator: Accelerator) -> Encoder:
    """The encoder with its parameters shared out among the ranks.

    Raises:
        InputError: it is no transformer, or the run needs more of it than its sharded form gives.
    """
    from nearfar.encoders.sharded import ShardedEncoder

    if not isinstance(encoder, TransformerEncoder):
        raise InputError("accelerate: found FSDP for a static encoder, wanted a transformer, or plain ranks (torchrun)")
    _check(settings, views)
    return ShardedEncoder(encoder, partial(_shard, accelerator))


def _check(settings: Settings, views: Sequence[View]) -> None:
    barred = {
        "queue": settings.queue,
        "mine_every": settings.mine_every,
        "batches": "cluster" if settings.batches == "cluster" else "",
        "precision": "fp16" if settings.precision == "fp16" else "",
        "view": ", ".join(view.name for view in views if changes_vectors(view)),
    }
    for name, found in barred.items():
        if found:
            raise InputError(f"{name}: found {found} under FSDP, wanted none, or plain ranks (docs/scaling.md)")


def _shard(accelerator: Accelerator, model: SentenceTransformer) -> SentenceTransformer:
    """The model itself, its layers sharded one by one as the configuration has it, what is left of it at once.

    accelerate's own `fsdp2_prepare_model` takes a model's last part for a norm with parameters, which `Normalize` has
    none of.
    """
    from accelerate.utils import get_module_children_bottom_up
    from accelerate.utils.fsdp_utils import fsdp2_prepare_auto_wrap_policy
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    plugin = _plugin(accelerator)
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = list(getattr(model[0].model, "_no_split_modules", None) or [])
    plugin.set_auto_wrap_policy(model)
    of_its_own = fsdp2_prepare_auto_wrap_policy(plugin, model) or (lambda module: False)
    options = {
        "mesh": init_device_mesh(accelerator.device.type, (accelerator.num_processes,)),
        "mp_policy": plugin.mixed_precision_policy or MixedPrecisionPolicy(),
        "offload_policy": plugin.cpu_offload,
    }
    for module in get_module_children_bottom_up(model)[:-1]:
        if of_its_own(module):
            fully_shard(module, reshard_after_forward=plugin.reshard_after_forward, **options)
    fully_shard(model, **options)
    return model


def _plugin(accelerator: Accelerator) -> FullyShardedDataParallelPlugin:
    return getattr(accelerator.state, "fsdp_plugin", None) or FullyShardedDataParallelPlugin()
