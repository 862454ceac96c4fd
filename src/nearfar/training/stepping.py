"""One optimiser step: a batch contrasted, pulled and pushed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from nearfar.contrasts import Contrast
from nearfar.data.views import Views
from nearfar.data.views.embedding import Adversarial
from nearfar.encoders import Encoder
from nearfar.encoders.base import Change
from nearfar.encoders.parts import gathered, parts_of_moments
from nearfar.errors import NotFiniteError
from nearfar.objectives import Objective
from nearfar.settings import Settings
from nearfar.training.contrasting import Contrasting
from nearfar.training.fitting import Data
from nearfar.training.gradients import clip_, norm_of, sum_over_ranks_
from nearfar.training.memory import Memory
from nearfar.training.mixing import mixer
from nearfar.training.objectives import Objectives
from nearfar.training.perturbing import attacked, change_of
from nearfar.training.relief import with_relief
from nearfar.training.schedule import warm_up_and_decay
from nearfar.training.sharing import sharing
from nearfar.training.sources import Batch

OBJECTIVE_RATE = 1e-2
"""Learning rate of what an objective itself learns, a scale or a bias."""


@dataclass(frozen=True)
class Seen:
    """What a step that was looked into was made of.

    Attributes:
        contrast: of its batch, as it was before the step.
        objective: that pulled.
        loss: of this step.
        learning_rate: of the first group of parameters.
        gradient_norm: before it was clipped.
    """

    contrast: Contrast
    objective: Objective
    loss: float
    learning_rate: float
    gradient_norm: float


class Stepper:
    """Everything that a step changes: the encoder, what the objective learns, their optimisers, the queue.

    Attributes:
        note: what a person may want to know of the last step, or "".
    """

    def __init__(
        self,
        accelerator: Accelerator,
        encoder: Encoder,
        objectives: Objectives,
        settings: Settings,
        views: Views,
        data: Sequence[Data],
    ) -> None:
        assert settings.learning_rate is not None
        self.accelerator, self.encoder, self.objectives, self.settings = accelerator, encoder, objectives, settings
        used = objectives.of_all(data)
        self.learning = torch.nn.ModuleList(one for one in used if isinstance(one, torch.nn.Module))
        optimisers = [encoder.optimiser(settings.learning_rate)]
        if learnt := [*self.learning.parameters()]:
            optimisers.append(torch.optim.Adam(learnt, lr=OBJECTIVE_RATE))
        # accelerate's wrapper keeps half precision in range; else all it does is to look, in each step, for packages.
        # Of a sharded encoder its `prepare` would want the model beside the optimiser.
        scaled = accelerator.scaler is not None
        self.optimisers = [accelerator.prepare_optimizer(one) if scaled else one for one in optimisers]
        self.rates = [group["lr"] for optimiser in self.optimisers for group in optimiser.param_groups]
        self.memory = Memory(encoder, size=settings.queue, momentum=settings.momentum) if settings.queue else None
        self.contrasting = Contrasting(
            encoder,
            all(objective.by_direction for objective in used),
            settings.guide_margin,
            self.memory.queue if self.memory else None,
            mixer(settings.mixed) if settings.mixed else None,
        )
        self.note = ""
        self.change = change_of(views.views)
        self.adversary = next((view for view in views.views if isinstance(view, Adversarial)), None)
        self.looking = False
        self.contrast: tuple[Contrast, Objective] | None = None
        self.seen: Seen | None = None

    @property
    def learning_rate(self) -> float:
        """Of the first group of parameters, as it is now."""
        rate: float = self.optimisers[0].param_groups[0]["lr"]
        return rate

    def step(self, batches: Sequence[Batch], progress: float, *, look: bool = False) -> float:
        """Learn from the mean gradient of some batches, at the rate of this point of the run; their mean loss.

        Args:
            batches: to learn from.
            progress: share of the run that is over.
            look: keep what the step is made of in `seen`.

        Raises:
            NotFiniteError: the loss or an embedding is not finite; nothing was learnt from these batches.
        """
        self.contrast, self.looking = None, look
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * warm_up_and_decay(progress, self.settings.warmup)
        self.encoder.model.train()
        value, self.note = with_relief(
            self.encoder, lambda: sum(self._pull(batch, 1 / len(batches)) for batch in batches), self._forget
        )
        self._descend(value)
        if self.memory:
            for batch in batches:
                self.memory.update(batch)
        return value

    def _pull(self, batch: Batch, share: float) -> float:
        """Add a batch's share of the gradient; its share of the loss."""
        loss = self._loss(batch) * share
        value: float = loss.item()
        if not np.isfinite(value):
            raise NotFiniteError(f"the loss became {value}")
        self.accelerator.backward(loss)
        return value

    def _descend(self, loss: float) -> None:
        """Step by the gradient that has come together."""
        parameters = [one for one in self.encoder.parameters() if one.requires_grad]
        sum_over_ranks_(parameters)
        norm = None
        if self.settings.gradient_clip or self.contrast is not None:
            self.accelerator.unscale_gradients()
        if self.settings.gradient_clip:
            norm = clip_(parameters, self.settings.gradient_clip)
        if self.contrast is not None:
            norm = norm_of(parameters) if norm is None else norm
            self.seen = Seen(*self.contrast, loss, self.learning_rate, norm)
            self.contrast = None
        for optimiser in self.optimisers:
            optimiser.step()
        self._forget()

    def state(self) -> dict[str, Any]:
        """All that steps have changed, for `load`, whole: where ranks hold parts all of them are to ask for it."""
        scaler = self.accelerator.scaler
        return {
            "encoder": self.encoder.state(),
            "objective": self.learning.state_dict(),
            "optimisers": [_named(gathered(optimiser.state_dict())) for optimiser in self.optimisers],
            "memory": self.memory.state() if self.memory else None,
            "scaler": scaler.state_dict() if scaler else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take on what `state` gave."""
        self.encoder.load(state["encoder"])
        self.learning.load_state_dict(state["objective"])
        for optimiser, known in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(parts_of_moments(_numbered(known), optimiser))
        if self.memory:
            self.memory.load(state["memory"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def _forget(self) -> None:
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)

    def _loss(self, batch: Batch) -> torch.Tensor:
        def under(change: Change | None) -> torch.Tensor:
            with self.accelerator.autocast():
                contrast = self.contrasting(batch, change)
            if self.looking:
                self.contrast = contrast, self.objectives.of(batch.source)
            with sharing():
                return self.objectives.of(batch.source)(contrast)

        change = self.change
        if self.adversary and len(batch.tokens) > 1:
            change = attacked(self.adversary, under, change)
        return under(change)


def _named(state: dict[str, Any]) -> dict[str, Any]:
    """An optimiser's state with its parameters' numbers as words, as JSON wants them."""
    return state | {"state": {str(number): known for number, known in state["state"].items()}}


def _numbered(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"state": {int(number): known for number, known in state["state"].items()}}
