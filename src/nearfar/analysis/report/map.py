"""The map that a page lets its reader walk: points, what colours them, texts and their true neighbours, as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis.analysis import Analysis
from nearfar.analysis.clustering import clusters
from nearfar.analysis.report.layout import Layout
from nearfar.analysis.report.space_charts import Words

PALETTE = (
    "#2a7de1 #e1662a #3a9d5d #a15fd0 #d9548c #b8860b #17a2a2 #d04a3a #6b79e0 #7a9a1f "
    "#5aa9e6 #f0a35e #6fc28d #c79be8 #f08bb4 #d4b13f #63c9c9 #a8623a #9aa0a6 #b3c45a"
).split()
GREY = "#8a94a0"
STEPS = 32
ENDS = np.array([[0x2A, 0x7D, 0xE1], [0xA0, 0xA4, 0xA8], [0xE1, 0x66, 0x2A]])
LONGEST = 400
"""Characters of a text that the page holds."""


@dataclass(frozen=True)
class Colouring:
    """One way to colour the points.

    Attributes:
        title: what it is about.
        codes: `(n,)`, into `hexes`.
        hexes: colours.
        names: what the first colours stand for; the two ends for a ramp.
        ramp: whether the colours are steps of a scale.
    """

    title: str
    codes: NDArray[np.int64]
    hexes: list[str]
    names: list[str]
    ramp: bool = False

    def of_points(self) -> list[str]:
        """The colour of each point."""
        return [self.hexes[code] for code in self.codes.tolist()]


def colourings(found: Analysis, layout: Layout, words: Words) -> list[Colouring]:
    """By label or score where there are some, by cluster, by how often it is a neighbour, by closeness."""
    made = []
    if found.labels is not None:
        made.append(by_label(words["label"], found.labels, words["others"]))
    if "point_scores" in found.samples:
        made.append(by_value(words["pair_score"], found.samples["point_scores"]))
    if len(found.points) > 1:
        made.append(by_label(words["cluster"], _clusters(found), words["others"]))
    if "k_occurrence" in found.samples:
        made.append(by_value(words["hub"], np.minimum(found.samples["k_occurrence"], 50)))
    if layout.neighbours.cosines.shape[1]:
        made.append(by_value(words["closeness"], layout.neighbours.cosines.mean(axis=1)))
    return made or [by_label("", [""] * len(found.points), "")]


def by_label(title: str, labels: Sequence[Hashable], others: str) -> Colouring:
    """A colour for each of the largest labels, grey for the rest; a ramp for many different numbers."""
    counts = Counter(labels)
    if len(counts) > len(PALETTE) and all(isinstance(label, (int, float)) for label in counts):
        return by_value(title, np.array(labels, dtype=np.float64))
    largest = [label for label, _ in counts.most_common(len(PALETTE))]
    number = {label: i for i, label in enumerate(largest)}
    codes = np.array([number.get(label, len(largest)) for label in labels], dtype=np.int64)
    rest = [others] if len(counts) > len(largest) else []
    return Colouring(title, codes, [*PALETTE[: len(largest)], GREY], [*map(str, largest), *rest])


def by_value(title: str, values: ArrayLike) -> Colouring:
    """Steps of a ramp from the smallest to the largest."""
    found = np.asarray(values, dtype=np.float64)
    low, high = float(found.min()), float(found.max())
    steps = (found - low) / (high - low or 1) * (STEPS - 1)
    at = np.linspace(0, len(ENDS) - 1, STEPS)
    channels = [np.interp(at, range(len(ENDS)), ENDS[:, c]).round().astype(int) for c in range(3)]
    hexes = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(*channels, strict=True)]
    return Colouring(title, steps.round().astype(np.int64), hexes, [f"{low:.3g}", f"{high:.3g}"], ramp=True)


def _clusters(found: Analysis) -> list[str]:
    """k-means, each cluster called by the three words that tell it best from the others."""
    count = int(np.clip(np.sqrt(len(found.points) / 20), 2, len(PALETTE)))
    numbers = clusters(found.points, count, seed=found.settings["seed"])
    names = {number: f"{number + 1}" for number in set(numbers.tolist())}
    if found.texts is not None:
        names = {number: f"{number + 1}: {words}" for number, words in _telling(found.texts, numbers).items()}
    return [names[number] for number in numbers.tolist()]


def _telling(texts: Sequence[str], numbers: NDArray[np.int64]) -> dict[int, str]:
    """Three words of each cluster by tf-idf over clusters (c-TF-IDF, Grootendorst 2022)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    there = sorted(set(numbers.tolist()))
    joined = [" ".join(texts[i] for i in np.flatnonzero(numbers == number).tolist()) for number in there]
    weigher = TfidfVectorizer(sublinear_tf=True, max_df=max(1, len(there) // 2))
    try:
        weights = weigher.fit_transform(joined)
    except ValueError:  # no words, or none that tells
        return dict.fromkeys(there, "…")
    words = weigher.get_feature_names_out()
    best = np.asarray(weights.todense()).argsort(axis=1)[:, ::-1][:, :3]
    return {number: ", ".join(words[row]) for number, row in zip(there, best, strict=True)}


def map_data(found: Analysis, layout: Layout, colours: Sequence[Colouring], words: Words) -> str:
    """JSON for the page, safe inside a script element; texts are cut after `LONGEST` characters."""
    texts = found.texts or tuple(words["row"].format(row=i + 1) for i in range(len(found.points)))
    content: dict[str, Any] = {
        "x": layout.places[:, 0].round(3).tolist(),
        "y": layout.places[:, 1].round(3).tolist(),
        "texts": [text if len(text) <= LONGEST else text[:LONGEST] + "…" for text in texts],
        "labels": None if found.labels is None else [str(label) for label in found.labels],
        "neighbours": layout.neighbours.places.tolist(),
        "cosines": layout.neighbours.cosines.astype(np.float64).round(3).tolist(),
        "colourings": [
            {"title": c.title, "codes": c.codes.tolist(), "hexes": c.hexes, "names": c.names, "ramp": c.ramp}
            for c in colours
        ],
        "words": {name: words[name] for name in ("found", "none", "text", "label")},
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


@cache
def vega() -> str:
    """Vega as one script for a page, out of vl-convert; it sets `nearfarVega`."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.nearfarVega = { embed: vegaEmbed };")
    return bundle.replace("</script", "<\\/script")


def script() -> str:
    """What makes the map move, search and tell; map.js beside this file."""
    return files("nearfar.analysis.report").joinpath("map.js").read_text("utf-8")
