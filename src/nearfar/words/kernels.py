"""The fast path: a window of the corpus at a time, whose words share their noise, compiled by numba.

The words of a window have one positive in common, the word in its middle, and so they share the noise as well (Ji et
al. 2016, "Parallelizing Word2Vec in Shared and Distributed Memory", section 3): a window is three small matrix
products. Its step is that of `NEGLoss`, `NCELoss` or `InfoNCELoss` on ``nearfar.sampled(words of the window, middle,
noise)``, summed. Threads write into the same vectors without locks (Recht et al. 2011, "Hogwild!"): rows seldom meet.

Functions take matrices and the number of a row rather than rows: a view costs an atomic count, for which threads would
wait on each other.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nearfar.words.corpus import END

NEG, NCE, INFONCE = 0, 1, 2

LONGEST = 10_000
"""Words of a sentence that are taken together; a longer one is cut."""

WATCHED = 64
"""Of so many windows one has its loss worked out."""


def compiled(function):
    """By numba, kept for the next process where there is a place that can be written."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither beside this file nor at home
        return njit(**options)(function)


@compiled
def random_bits(state):
    """The next 64 random bits (xorshift, Marsaglia 2003); the state, ``(1,)`` uint64, is never 0."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return x


@compiled
def draw_noise(state, keep, alias, middle, objective, targets):
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
def slopes_(objective, scores, shifts, count):
    """Scores of the near word and the noise, in place minus the loss's slope in each; `shifts` are log(k p_n)."""
    if objective == INFONCE:
        top = scores[0]
        for j in range(1, count):
            top = max(top, scores[j])
        total = np.float32(0)
        for j in range(count):
            scores[j] = math.exp(scores[j] - top)
            total += scores[j]
        for j in range(count):
            scores[j] = -scores[j] / total
    else:
        for j in range(count):
            scores[j] = np.float32(-1) / (np.float32(1) + math.exp(shifts[j] - scores[j]))
    scores[0] += np.float32(1)


@compiled
def loss_of(objective, scores, shifts, count):
    """The loss of an anchor with these scores."""
    total = 0.0
    if objective == INFONCE:
        top = scores[0]
        for j in range(1, count):
            top = max(top, scores[j])
        for j in range(count):
            total += math.exp(scores[j] - top)
        return math.log(total) + top - scores[0]
    for j in range(count):
        score = scores[j] - shifts[j]
        signed = -score if j == 0 else score
        total += max(signed, 0.0) + math.log1p(math.exp(-abs(score)))
    return total


# fmt: off
@compiled
def learn(objective, scale, rate, anchors, at, candidates, shifts, targets, count, pulls, to, changes, biases, scores,
          watch):
    """The step of one anchor, a row of `anchors`, against ``(count, d)`` candidates, the first being near.

    What is to be added to the anchor is added to row `to` of `pulls`, which may be the anchor itself; what is to be
    added to the candidates, to `changes`. NCE's `biases` are stepped at once. Returns the loss where `watch` asks.
    """
    width, loss = candidates.shape[1], 0.0
    for j in range(count):
        score = np.float32(0)
        for t in range(width):
            score += anchors[at, t] * candidates[j, t]
        scores[j] = scale * score
    if watch:
        loss = loss_of(objective, scores, shifts, count)
    slopes_(objective, scores, shifts, count)
    for j in range(count):
        scores[j] *= rate
        if objective == NCE:
            biases[targets[j]] += scores[j]
        step = scale * scores[j]
        for t in range(width):
            changes[j, t] += step * anchors[at, t]
    for j in range(count):
        step = scale * scores[j]
        for t in range(width):
            pulls[to, t] += step * candidates[j, t]
    return loss


@compiled
def take(inputs, rows, first, last, scale, room):
    """Add `scale` times each of these rows of `inputs` to the anchor, row 0 of `room`."""
    for place in range(first, last):
        row = rows[place]
        for t in range(room.shape[1]):
            room[0, t] += scale * inputs[row, t]


@compiled
def give(inputs, rows, first, last, scale, room):
    """Add `scale` times the anchor's pull, row 1 of `room`, to each of these rows of `inputs`."""
    for place in range(first, last):
        row = rows[place]
        for t in range(room.shape[1]):
            inputs[row, t] += scale * room[1, t]


@compiled
def clear(room):
    """Set anchor and pull to 0."""
    for t in range(room.shape[1]):
        room[0, t] = room[1, t] = np.float32(0)


@compiled
def learn_word(objective, scale, rate, inputs, rows, first, last, candidates, shifts, targets, count, room, changes,
               biases, scores, watch):
    """The step of one word as an anchor, made of these rows of `inputs`; its loss where `watch` asks for it."""
    if last - first == 1:
        row = rows[first]
        return learn(objective, scale, rate, inputs, row, candidates, shifts, targets, count, inputs, row, changes,
                     biases, scores, watch)
    part = np.float32(1 / math.sqrt(last - first))
    clear(room)
    take(inputs, rows, first, last, part, room)
    loss = learn(objective, scale, rate, room, 0, candidates, shifts, targets, count, room, 1, changes, biases, scores,
                 watch)
    give(inputs, rows, first, last, part, room)
    return loss


@compiled
def learn_mean(objective, scale, rate, inputs, starts, rows, words, found, candidates, shifts, targets, count, room,
               changes, biases, scores, watch):
    """The step of the mean of `found` words as an anchor; its loss where `watch` asks for it."""
    clear(room)
    for i in range(found):
        first, last = starts[words[i]], starts[words[i] + 1]
        take(inputs, rows, first, last, np.float32(1 / (found * math.sqrt(last - first))), room)
    loss = learn(objective, scale, rate, room, 0, candidates, shifts, targets, count, room, 1, changes, biases, scores,
                 watch)
    for i in range(found):
        first, last = starts[words[i]], starts[words[i] + 1]
        give(inputs, rows, first, last, np.float32(1 / (found * math.sqrt(last - first))), room)
    return loss


@compiled
def learn_window(inputs, outputs, biases, starts, rows, log_noise, objective, scale, rate, together, words, found,
                 targets, count, candidates, changes, room, shifts, scores, watch):
    """The step of one window: its words are anchors one by one (skip-gram), or `together` as their mean (CBOW).

    Args:
        inputs, outputs: ``(R, d)`` and ``(V, d)``.
        biases: ``(V,)`` added to the scores of each word as a candidate; learnt for NCE alone.
        starts, rows: ``(V + 1,)`` and ``(R',)``: word w's input vector is the sum of ``inputs[rows[starts[w] :
            starts[w + 1]]]`` over the root of their number, so that a step moves it as far as one row alone.
        log_noise: ``(V,)`` log(k p_n), or zeros.
        objective: NEG, NCE or INFONCE.
        scale: of the scores; 1 / temperature.
        rate: of learning.
        words: the first `found` are the window's, without its middle.
        targets: the first `count` are the middle and the noise.
        candidates, changes, room, shifts, scores: ``(m, d)``, ``(m, d)``, ``(2, d)``, ``(m,)``, ``(m,)`` to work in.
        watch: whether to work out the loss.

    Returns:
        The sum of the anchors' losses, or 0.
    """
    width, loss = outputs.shape[1], 0.0
    for j in range(count):
        target = targets[j]
        shifts[j] = log_noise[target] - biases[target]
        for t in range(width):
            candidates[j, t] = outputs[target, t]
            changes[j, t] = np.float32(0)
    if together:
        loss += learn_mean(objective, scale, rate, inputs, starts, rows, words, found, candidates, shifts, targets,
                           count, room, changes, biases, scores, watch)
    else:
        for i in range(found):
            word = words[i]
            loss += learn_word(objective, scale, rate, inputs, rows, starts[word], starts[word + 1], candidates, shifts,
                               targets, count, room, changes, biases, scores, watch)
    for j in range(count):
        target = targets[j]
        for t in range(width):
            outputs[target, t] += changes[j, t]
    return loss


@compiled
def gather(place, ids, kept, state, sentence):
    """Fill `sentence` with the words that subsampling leaves up to the next END; where it ends, and how many."""
    size = 0
    while place < len(ids) and size < len(sentence):
        word = ids[place]
        place += 1
        if word == END:
            break
        if np.uint32(random_bits(state) >> np.uint64(32)) <= kept[word]:
            sentence[size] = word
            size += 1
    return place, size


@compiled
def surround(sentence, size, middle, window, state, near):
    """Fill `near` with the words around the one in the middle, as far as is drawn; how many."""
    reach = 1 + np.int64((random_bits(state) >> np.uint64(33)) % np.uint64(window))
    found = 0
    for other in range(max(0, middle - reach), min(size, middle + reach + 1)):
        if other != middle:
            near[found] = sentence[other]
            found += 1
    return found


@compiled
def learn_run(inputs, outputs, biases, starts, rows, keep, alias, log_noise, kept, objective, scale, together, window,
              draws, rates, ids, state):
    """A run of the corpus: whole sentences, one after another.

    Args:
        inputs, outputs, biases, starts, rows, objective, scale, together, log_noise: see `learn_window`.
        keep, alias: ``(V,)`` uint32 and ``(V,)``, the alias table of the noise.
        kept: ``(V,)`` uint32, the chance of each word to be kept (subsampling).
        window: words on each side at the most; how many is drawn anew for each word.
        draws: noise words a window, k.
        rates: learning rate at the start and at the end of the run.
        ids: word ids, each sentence ended by END.
        state: ``(1,)`` uint64 of the random numbers.

    Returns:
        The loss of a sample of the anchors, and how many they are.
    """
    size, width = draws + 1, outputs.shape[1]
    candidates, changes = np.zeros((size, width), np.float32), np.zeros((size, width), np.float32)
    room, shifts, scores = np.zeros((2, width), np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32)
    targets, sentence, near = np.empty(size, np.int64), np.empty(LONGEST, np.int64), np.empty(2 * window, np.int64)
    place, windows, loss, watched = np.int64(0), 0, 0.0, 0
    while place < len(ids):
        rate = np.float32(rates[0] + (rates[1] - rates[0]) * place / len(ids))
        place, size = gather(place, ids, kept, state, sentence)
        for middle in range(size):
            found = surround(sentence, size, middle, window, state, near)
            if found == 0:
                continue
            count = draw_noise(state, keep, alias, sentence[middle], objective, targets)
            watch = windows % WATCHED == 0
            loss += learn_window(inputs, outputs, biases, starts, rows, log_noise, objective, scale, rate, together,
                                 near, found, targets, count, candidates, changes, room, shifts, scores, watch)
            if watch:
                watched += 1 if together else found
            windows += 1
    return loss, watched
