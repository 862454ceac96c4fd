"""The step of the fast path is the gradient of the objectives' own classes."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.words import kernels

KINDS = {"neg": kernels.NEG, "nce": kernels.NCE, "infonce": kernels.INFONCE}
WORDS, TARGETS = np.array([3, 1, 4]), np.array([5, 2, 7, 2])
"""A window without its middle; the middle and noise, one of which comes twice."""

PLAIN = (np.arange(10), np.arange(9, dtype=np.int32))
GRAMS = (np.array([0, 1, 3, 4, 6, 9, 10, 11, 12, 13]), np.array([0, 1, 9, 2, 3, 10, 4, 11, 12, 5, 6, 7, 8], np.int32))
SHARED = (GRAMS[0], np.array([0, 1, 9, 2, 3, 9, 4, 9, 10, 5, 6, 7, 8], np.int32))


class Window:
    """A window with random vectors, its step by the kernel, and by autograd."""

    def __init__(
        self, objective: str, together: bool, parts: tuple[np.ndarray, np.ndarray], temperature: float
    ) -> None:
        draw = np.random.default_rng(0)
        self.objective, self.together, self.temperature = objective, together, temperature
        self.starts, self.rows = parts
        self.inputs = draw.normal(size=(self.rows.max() + 1, 6)).astype(np.float32)
        self.outputs = draw.normal(size=(9, 6)).astype(np.float32)
        self.biases, self.log_p = np.zeros(9, np.float32), np.zeros(9, np.float32)
        if objective == "nce":
            self.biases = draw.normal(size=9).astype(np.float32)
            self.log_p = np.log(draw.dirichlet(np.ones(9))).astype(np.float32)

    def stepped(self, rate: float) -> tuple[float, list[np.ndarray]]:
        """The loss, and what the kernel adds to inputs, outputs and biases, over the rate."""
        before = [part.copy() for part in (self.inputs, self.outputs, self.biases)]
        after = [part.copy() for part in before]
        log_noise = self.log_p + np.float32(math.log(len(TARGETS) - 1)) if self.objective == "nce" else self.log_p
        size, width = len(TARGETS), self.inputs.shape[1]
        room = [np.empty(shape, np.float32) for shape in ((size, width), (size, width), (2, width), size, size)]
        scale = np.float32(1 / self.temperature)
        loss = kernels.learn_window(
            *after, self.starts, self.rows, log_noise, KINDS[self.objective], scale, np.float32(rate), self.together,
            WORDS, len(WORDS), TARGETS, size, *room, True,
        )  # fmt: skip
        return loss, [(new - old) / rate for new, old in zip(after, before, strict=True)]

    def wanted(self) -> tuple[float, list[np.ndarray]]:
        """The loss of the objective's class, and minus its gradient."""
        inputs, outputs, biases = (
            torch.tensor(part, requires_grad=True) for part in (self.inputs, self.outputs, self.biases)
        )
        made_of = [self.rows[self.starts[word] : self.starts[word + 1]] for word in WORDS]
        anchors = torch.stack([inputs[rows.tolist()].sum(0) / len(rows) ** 0.5 for rows in made_of])
        anchors = anchors.mean(0, keepdim=True) if self.together else anchors
        middle, noise = outputs[TARGETS[:1]].expand(len(anchors), -1), outputs[TARGETS[1:]]
        logs = [torch.tensor(self.log_p[TARGETS[:1]]).expand(len(anchors)), torch.tensor(self.log_p[TARGETS[1:]])]
        if self.objective == "nce":  # a bias is the weight of a component that is 1 in every anchor
            anchors = torch.cat([anchors, torch.ones(len(anchors), 1)], 1)
            middle = torch.cat([middle, biases[TARGETS[:1]].expand(len(anchors))[:, None]], 1)
            noise = torch.cat([noise, biases[TARGETS[1:]][:, None]], 1)
        loss = {
            "neg": nf.NEGLoss(reduction="sum"),
            "nce": nf.NCELoss(reduction="sum"),
            "infonce": nf.InfoNCELoss(reduction="sum", similarity="dot", temperature=self.temperature),
        }[self.objective]
        value = loss(nf.sampled(anchors, middle, noise, *(logs if self.objective == "nce" else ())))
        slopes = torch.autograd.grad(value, (inputs, outputs, biases), allow_unused=True)
        return value.item(), [
            np.zeros_like(part) if slope is None else -slope.numpy()
            for slope, part in zip(slopes, (self.inputs, self.outputs, self.biases), strict=True)
        ]


@pytest.mark.parametrize("together", [False, True], ids=["skipgram", "cbow"])
@pytest.mark.parametrize("objective", KINDS)
@pytest.mark.parametrize("parts", [PLAIN, GRAMS], ids=["words", "grams"])
def test_a_step_is_the_gradient_of_the_objective(
    objective: str, together: bool, parts: tuple[np.ndarray, np.ndarray]
) -> None:
    temperature = 0.5 if objective == "infonce" else 1.0
    window = Window(objective, together, parts, temperature)
    loss, found = window.stepped(1.0 if together or objective != "nce" else 1e-2)
    value, wanted = window.wanted()
    if objective == "nce" and not together:  # an anchor's step moves the biases that the next one meets
        loss, found = window.stepped(1e-4)
        np.testing.assert_allclose(loss, value, rtol=1e-3)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-2)
        return
    np.testing.assert_allclose(loss, value, rtol=1e-5)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-6)


def test_words_that_share_grams_step_one_after_the_other() -> None:
    window = Window("neg", False, SHARED, 1.0)
    _, wanted = window.wanted()
    _, found = window.stepped(1e-3)
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-2)
    _, together = Window("neg", True, SHARED, 1.0).stepped(1.0)
    np.testing.assert_allclose(together[0], Window("neg", True, SHARED, 1.0).wanted()[1][0], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("objective", ["neg", "nce"])
def test_noise_is_drawn_by_the_alias_table(objective: str) -> None:
    share = np.array([0.0, 0.5, 0.3, 0.15, 0.05])
    keep, alias = nf.NoiseDistribution(share, alpha=1).table
    keep, alias = (keep * (2**32 - 1)).astype(np.uint32), alias.astype(np.int32)
    state, drawn = np.array([9], np.uint64), Counter[int]()
    targets = np.empty(6, np.int64)
    for _ in range(20_000):
        count = kernels.draw_noise(state, keep, alias, 1, KINDS[objective], targets)
        assert targets[0] == 1
        drawn.update(targets[1:count].tolist())
    assert drawn[0] == 0
    assert (drawn[1] > 0) == (objective == "nce")
    others = share[2:] / share[2:].sum()
    found = np.array([drawn[word] for word in (2, 3, 4)]) / sum(drawn[word] for word in (2, 3, 4))
    np.testing.assert_allclose(found, others, atol=0.01)


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same() -> None:
    code = (
        "from numba.core.caching import CompileResultCacheImpl as Cache; Cache._locator_classes = []; import numpy\n"
        "from nearfar.words import kernels; print(kernels.random_bits(numpy.ones(1, numpy.uint64)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 0x40822041  # of 1 by the shifts 13, 7, 17
