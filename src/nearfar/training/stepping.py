"""One optimiser step: a batch contrasted, pulled and pushed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator

from nearfar.data.views import Views
from nearfar.data.views.embedding import Adversarial
from nearfar.encoders import Encoder
from nearfar.encoders.base import Change
from nearfar.errors import RunError
from nearfar.objectives import Objective
from nearfar.settings import Settings
from nearfar.training.contrasting import Contrasting
from nearfar.training.gradients import clip_, sum_over_ranks_
from nearfar.training.memory import Memory
from nearfar.training.mixing import mixer
from nearfar.training.perturbing import attacked, change_of
from nearfar.training.schedule import warm_up_and_decay
from nearfar.training.sharing import sharing
from nearfar.training.sources import Batch

OBJECTIVE_RATE = 1e-2
"""Learning rate of what an objective itself learns, a scale or a bias."""


class Stepper:
    """Everything that a step changes: the encoder, what the objective learns, their optimisers, the queue."""

    def __init__(
        self, accelerator: Accelerator, encoder: Encoder, objective: Objective, settings: Settings, views: Views
    ) -> None:
        assert settings.learning_rate is not None
        self.accelerator, self.encoder, self.objective, self.settings = accelerator, encoder, objective, settings
        optimisers = [encoder.optimiser(settings.learning_rate)]
        if isinstance(objective, torch.nn.Module) and [*objective.parameters()]:
            optimisers.append(torch.optim.Adam(objective.parameters(), lr=OBJECTIVE_RATE))
        self.optimisers = [accelerator.prepare(optimiser) for optimiser in optimisers]
        self.rates = [group["lr"] for optimiser in self.optimisers for group in optimiser.param_groups]
        self.memory = Memory(encoder, size=settings.queue, momentum=settings.momentum) if settings.queue else None
        self.contrasting = Contrasting(
            encoder,
            objective.by_direction,
            settings.guide_margin,
            self.memory.queue if self.memory else None,
            mixer(settings.mixed) if settings.mixed else None,
        )
        self.change = change_of(views.views)
        self.adversary = next((view for view in views.views if isinstance(view, Adversarial)), None)

    def step(self, batches: Sequence[Batch], progress: float) -> float:
        """Learn from the mean gradient of some batches, at the rate of this point of the run; their mean loss.

        Raises:
            RunError: the loss is not finite.
        """
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * warm_up_and_decay(progress, self.settings.warmup)
        self.encoder.model.train()
        value = sum(self._pull(batch, 1 / len(batches)) for batch in batches)
        self._descend()
        if self.memory:
            for batch in batches:
                self.memory.update(batch)
        return value

    def _pull(self, batch: Batch, share: float) -> float:
        """Add a batch's share of the gradient; its share of the loss."""
        loss = self._loss(batch) * share
        value: float = loss.item()
        if not np.isfinite(value):
            raise RunError(f"{batch.source}: the loss became {value}; try a lower learning rate")
        self.accelerator.backward(loss)
        return value

    def _descend(self) -> None:
        parameters = [one for one in self.encoder.parameters() if one.requires_grad]
        sum_over_ranks_(parameters)
        if self.settings.gradient_clip:
            self.accelerator.unscale_gradients()
            clip_(parameters, self.settings.gradient_clip)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def _loss(self, batch: Batch) -> torch.Tensor:
        def under(change: Change | None) -> torch.Tensor:
            with self.accelerator.autocast():
                contrast = self.contrasting(batch, change)
            with sharing():
                return self.objective(contrast)

        change = self.change
        if self.adversary and len(batch.tokens) > 1:
            change = attacked(self.adversary, under, change)
        return under(change)
