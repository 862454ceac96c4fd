"""The fast path: a window of the corpus at a time, whose words share their noise, compiled by numba.

The words of a window have one positive in common, the word in its middle, and so they share the noise as well (Ji et
al. 2016, "Parallelizing Word2Vec in Shared and Distributed Memory", section 3): a window is three small matrix
products. Its step is that of `NEGLoss`, `NCELoss` or `InfoNCELoss` on ``nearfar.sampled(words of the window, middle,
noise)``, summed. Threads write into the same vectors without locks (Recht et al. 2011, "Hogwild!"): rows seldom meet.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

NEG, NCE, INFONCE = 0, 1, 2

END = -1
"""Ends a sentence in an array of word ids."""

LONGEST = 10_000
"""Words of a sentence that are taken together; a longer one is cut."""

WATCHED = 64
"""Of so many windows one has its loss worked out."""

compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath={"nsz", "arcp", "contract", "afn", "reassoc"})


@compiled
def random_bits(state):  # type: ignore[no-untyped-def]
    """The next 64 random bits (xorshift, Marsaglia 2003); the state, ``(1,)`` uint64, is never 0."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return x


@compiled
def draw_noise(state, keep, alias, middle, objective, targets):  # type: ignore[no-untyped-def]
    """Fill `targets` with `middle` and noise by an alias table; how many there are.

    Noise that is `middle` itself is passed over, as word2vec does; NCE, whose theory counts it, keeps it.
    """
    targets[0] = middle
    count = 1
    for _ in range(len(targets) - 1):
        bits = random_bits(state)
        word = np.int64(((bits >> np.uint64(32)) * np.uint64(len(keep))) >> np.uint64(32))
        if np.uint32(bits) > keep[word]:
            word = np.int64(alias[word])
        if word != middle or objective == NCE:
            targets[count] = word
            count += 1
    return count


@compiled
def slopes_(objective, scores, shifts):  # type: ignore[no-untyped-def]
    """Scores of the near word and the noise, in place minus the loss's slope in each; `shifts` are log(k p_n)."""
    if objective == INFONCE:
        top = scores.max()
        total = np.float32(0)
        for j in range(len(scores)):
            scores[j] = math.exp(scores[j] - top)
            total += scores[j]
        for j in range(len(scores)):
            scores[j] = -scores[j] / total
    else:
        for j in range(len(scores)):
            scores[j] = np.float32(-1) / (np.float32(1) + math.exp(shifts[j] - scores[j]))
    scores[0] += np.float32(1)


@compiled
def loss_of(objective, scores, shifts):  # type: ignore[no-untyped-def]
    """The loss of an anchor with these scores."""
    total = 0.0
    if objective == INFONCE:
        for j in range(len(scores)):
            total += math.exp(scores[j] - scores[0])
        return math.log(total)
    for j in range(len(scores)):
        score = scores[j] - shifts[j]
        signed = -score if j == 0 else score
        total += max(signed, 0.0) + math.log1p(math.exp(-abs(score)))
    return total


@compiled
def learn(objective, scale, rate, anchor, candidates, shifts, scores, pull, changes):  # type: ignore[no-untyped-def]
    """The step of one anchor ``(d,)`` against candidates ``(m, d)``, the first being near.

    What is to be added to the anchor lands in `pull`; what is to be added to the candidates is added to `changes`.
    `scores` is left with ``rate`` times minus the loss's slopes.
    """
    count, width = candidates.shape
    for j in range(count):
        score = np.float32(0)
        for t in range(width):
            score += anchor[t] * candidates[j, t]
        scores[j] = scale * score
    slopes_(objective, scores, shifts)
    for t in range(width):
        pull[t] = 0
    for j in range(count):
        step = rate * scale * scores[j]
        for t in range(width):
            pull[t] += step * candidates[j, t]
        for t in range(width):
            changes[j, t] += step * anchor[t]


@compiled
def take(inputs, rows, first, last, scale, anchor):  # type: ignore[no-untyped-def]
    """Add `scale` times each of these rows to `anchor`."""
    for place in range(first, last):
        row = rows[place]
        for t in range(len(anchor)):
            anchor[t] += scale * inputs[row, t]


@compiled
def give(inputs, rows, first, last, scale, pull):  # type: ignore[no-untyped-def]
    """Add `scale` times `pull` to each of these rows."""
    for place in range(first, last):
        row = rows[place]
        for t in range(len(pull)):
            inputs[row, t] += scale * pull[t]


@compiled
def learn_window(model, objective, scale, rate, together, words, targets, shifts, room, scores):  # type: ignore[no-untyped-def]
    """The step of one window: its words are anchors one by one (skip-gram), or `together` as their mean (CBOW).

    Args:
        model: inputs ``(R, d)``, outputs ``(V, d)``, and starts ``(V + 1,)`` and rows: word w's input vector is the sum
            of ``inputs[rows[starts[w] : starts[w + 1]]]`` over the root of their number, so that a step moves it
            as far as one row alone.
        words: the window's, without its middle.
        targets: the middle, and the noise.
        shifts: ``(m,)`` log(k p_n) of the targets, or zeros.
        room, scores: ``(2 * m + 2, d)`` and ``(m,)`` to work in.
    """
    inputs, outputs, starts, rows = model
    count, width = len(targets), outputs.shape[1]
    candidates, changes, anchor, pull = room[:count], room[count : 2 * count], room[2 * count], room[2 * count + 1]
    for j in range(count):
        for t in range(width):
            candidates[j, t] = outputs[targets[j], t]
            changes[j, t] = 0
    if together:
        anchor[:] = 0
        for word in words:
            first, last = starts[word], starts[word + 1]
            take(inputs, rows, first, last, np.float32(1 / (len(words) * math.sqrt(last - first))), anchor)
        learn(objective, scale, rate, anchor, candidates, shifts, scores, pull, changes)
        for word in words:
            first, last = starts[word], starts[word + 1]
            give(inputs, rows, first, last, np.float32(1 / (len(words) * math.sqrt(last - first))), pull)
    else:
        for word in words:
            first, last = starts[word], starts[word + 1]
            part = np.float32(1 / math.sqrt(last - first))
            anchor[:] = 0
            take(inputs, rows, first, last, part, anchor)
            learn(objective, scale, rate, anchor, candidates, shifts, scores, pull, changes)
            give(inputs, rows, first, last, part, pull)
    for j in range(count):
        for t in range(width):
            outputs[targets[j], t] += changes[j, t]


@compiled
def learn_run(model, noise, objective, scale, together, window, draws, rates, ids, kept, state):  # type: ignore[no-untyped-def]
    """A run of the corpus: whole sentences, one after another.

    Args:
        model: see `learn_window`.
        noise: keep ``(V,)`` uint32 and alias ``(V,)`` of the alias table, and log(k p_n) ``(V,)`` or zeros.
        objective: NEG, NCE or INFONCE.
        scale: of the scores; 1 / temperature.
        together: CBOW.
        window: words on each side at the most; how many is drawn anew for each word.
        draws: noise words a window, k.
        rates: learning rate at the start and at the end of the run.
        ids: word ids, each sentence ended by END.
        kept: ``(V,)`` uint32, the chance of each word to be kept (subsampling).
        state: ``(1,)`` uint64 of the random numbers.

    Returns:
        The loss of a sample of the anchors, and how many they are.
    """
    keep, alias, log_noise = noise
    room, scores = np.zeros((2 * draws + 4, model[1].shape[1]), np.float32), np.empty(draws + 1, np.float32)
    targets, shifts = np.empty(draws + 1, np.int64), np.empty(draws + 1, np.float32)
    sentence, near = np.empty(LONGEST, np.int64), np.empty(2 * window, np.int64)
    place, windows, loss, watched = 0, 0, 0.0, 0
    while place < len(ids):
        rate = np.float32(rates[0] + (rates[1] - rates[0]) * place / len(ids))
        size = 0
        while place < len(ids) and size < LONGEST:
            word = ids[place]
            place += 1
            if word == END:
                break
            if np.uint32(random_bits(state) >> np.uint64(32)) <= kept[word]:
                sentence[size] = word
                size += 1
        for middle in range(size):
            reach = 1 + np.int64((random_bits(state) >> np.uint64(33)) % np.uint64(window))
            found = 0
            for other in range(max(0, middle - reach), min(size, middle + reach + 1)):
                if other != middle:
                    near[found] = sentence[other]
                    found += 1
            if not found:
                continue
            count = draw_noise(state, keep, alias, sentence[middle], objective, targets)
            for j in range(count):
                shifts[j] = log_noise[targets[j]]
            learn_window(
                model, objective, scale, rate, together, near[:found], targets[:count], shifts[:count], room, scores[:count]
            )
            windows += 1
    return loss, watched
