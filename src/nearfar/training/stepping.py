"""One optimiser step: a batch contrasted, pulled and pushed."""

from __future__ import annotations

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
from nearfar.training.memory import Memory
from nearfar.training.mixing import mixer
from nearfar.training.perturbing import attacked, change_of
from nearfar.training.schedule import warm_up_and_decay
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

    def step(self, batch: Batch, progress: float) -> float:
        """Learn from a batch, at the rate of this point of the run; its loss.

        Raises:
            RunError: the loss is not finite.
        """
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * warm_up_and_decay(progress, self.settings.warmup)
        self.encoder.model.train()
        loss = self._loss(batch)
        value: float = loss.item()
        if not np.isfinite(value):
            raise RunError(f"{batch.source}: the loss became {value}; try a lower learning rate")
        self.accelerator.backward(loss)
        if self.encoder.gradient_clip:
            self.accelerator.clip_grad_norm_(self.encoder.model.parameters(), self.encoder.gradient_clip)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if self.memory:
            self.memory.update(batch)
        return value

    def _loss(self, batch: Batch) -> torch.Tensor:
        def under(change: Change | None) -> torch.Tensor:
            return self.objective(self.contrasting(batch, change))

        change = self.change
        if self.adversary and len(batch.tokens) > 1:
            change = attacked(self.adversary, under, change)
        return under(change)
