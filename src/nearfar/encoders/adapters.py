"""Which part of a transformer is learnt: low-rank adapters beside its weights, or its upper layers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from nearfar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ALL = "all-linear"


def add_lora(
    model: SentenceTransformer, rank: int, *, alpha: float | None = None, targets: Sequence[str] = (ALL,)
) -> None:
    """Put low-rank adapters beside the transformer's weights; of all that it has, they alone are learnt.

    Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", eq. 3, by peft.

    Args:
        model: starts with a transformer.
        rank: of each adapter.
        alpha: the adapters' output is scaled by alpha / rank; None is twice the rank.
        targets: names of layers, or all-linear; where empty, those that peft knows for the architecture.

    Raises:
        InputError: peft is not installed, or a target is nowhere in the model.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError("lora: found no peft, wanted it installed: pip install 'nearfar[lora]'") from error
    chosen = ALL if tuple(targets) == (ALL,) else list(targets) or None
    config = LoraConfig(r=rank, lora_alpha=2 * rank if alpha is None else alpha, target_modules=chosen)
    try:
        inject_adapter_in_model(config, model[0].model)
    except ValueError as error:  # no layer of that name, or none that can have an adapter
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"lora_targets: found {', '.join(targets) or 'none'}, which does not fit ({reason})") from None


def merge_adapters(model: nn.Module) -> None:
    """Add what adapters have learnt to the weights that they stand beside, and take them away."""
    if not any("lora_" in name for name, _ in model.named_parameters()):  # peft takes a second to import
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)]
    for name, layer in adapted:
        layer.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.get_base_layer())
    model.requires_grad_(True)


def freeze_lowest(model: SentenceTransformer, layers: int) -> None:
    """Leave the lowest layers as they are, and the embeddings beneath them.

    Args:
        model: starts with a transformer.
        layers: how many; 0: the embeddings alone; -2: all but the two highest.

    Raises:
        InputError: the transformer has fewer, or nothing would be left to learn.
    """
    stack = max(
        (each for each in model[0].model.modules() if isinstance(each, nn.ModuleList)),
        key=lambda each: sum(parameter.numel() for parameter in each.parameters()),
        default=nn.ModuleList(),
    )
    count = layers + len(stack) if layers < 0 else layers
    if not 0 <= count < len(stack):
        raise InputError(
            f"freeze: found {layers}, wanted {-len(stack)} to {len(stack) - 1}: it has {len(stack)} layers"
        )
    learnt = {parameter for layer in stack[count:] for parameter in layer.parameters()}
    for parameter in model[0].model.parameters():  # in the order in which they were put there: embeddings, layers, head
        if parameter in learnt:
            break
        parameter.requires_grad_(False)
