"""What an encoder is good for: figures on a table, with bootstrap intervals.

The kind of table says which task it is:

| table | task | figures |
| --- | --- | --- |
| `sentence1`, `sentence2`, `score` | `sts` | `spearman`, `pearson` of the cosine and the score |
| `anchor`, `positive` (`negative` …) | `retrieval` | `mrr@10`, `recall@1`, `recall@10`, `ndcg@10` |
| `text`, `label` | `labels` | `knn_accuracy`, `linear_accuracy`, cross-validated |
| `word1`, `word2`, `score` | `words` | as `sts`, and `coverage` |
| `a`, `b`, `c`, `d` (`section`) | `analogies` | `3cosadd`, `3cosmul`, the first of each section, `coverage` |

The first figure of a row is the one that chooses between models. `measure` takes any function from texts to
vectors; `evaluate` a `SentenceTransformer`; the `measure_*` take embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis.analogies import Lexicon, analogy_hits, known
from nearfar.analysis.correlation import pearson, spearman
from nearfar.analysis.encoding import encoder
from nearfar.analysis.intervals import Statistic, bootstrap, means
from nearfar.analysis.labels import hits_by_row, trial_of
from nearfar.analysis.retrieval import check_relevant, figures_by_query, relevant_ranks, search_of
from nearfar.analysis.vectors import Vectors, cosines, finite
from nearfar.data.roles import SECTION
from nearfar.encoders.prompts import prompt_of
from nearfar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from nearfar.data.tables import Table

Task = Literal["sts", "retrieval", "labels", "words", "analogies"]
Embed = Callable[[Sequence[str]], np.ndarray]
"""Texts to embeddings `(n, d)`, in their order."""

ByRole = Callable[[str], Embed]
"""Which of them a role's texts go to."""

MAIN: Mapping[Task, str] = {
    "sts": "spearman",
    "retrieval": "mrr@10",
    "labels": "knn_accuracy",
    "words": "spearman",
    "analogies": "3cosadd",
}


@dataclass(frozen=True)
class Measurement:
    """What came out of measuring on one table.

    `rows` is what the figures go over: pairs, distinct anchors, labelled texts, or questions; `left_out` the
    labelled texts that were not judged (see `labels.trial_of`), or rows with a word that is not known. `intervals`
    has the keys of `figures` but for `coverage`, or is empty where no resamples were asked for. `by_row`
    holds what the figures are worked out of, `(rows,)` each: the `score` and `cosine` of each pair for sts and words,
    else the figures of each query, text or question.
    """

    task: Task
    source: str
    rows: int
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    left_out: int = 0
    by_row: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def main(self) -> str:
        """The name of the figure that model selection uses."""
        return MAIN[self.task]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, equal to themselves after a trip through JSON."""
        return {
            "task": self.task,
            "source": self.source,
            "rows": self.rows,
            "left_out": self.left_out,
            "main": self.main,
            "figures": dict(self.figures),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
        }


def measure(
    table: Table, embed: Embed, *, lexicon: Lexicon | None = None, seed: int = 0, resamples: int = 1000
) -> Measurement:
    """Measures `embed` on `table`, by the task that its kind stands for.

    `embed` is called once, with the distinct texts that the task needs, after the table has been found
    fit for it. `lexicon` has the words that may answer an analogy; None: those of the table. `seed` draws the
    resamples and the folds; `resamples=0` does without intervals.

    Raises `InputError`, naming the table, where it cannot be measured on (a table of texts alone, constant
    scores, one candidate, one label) or `embed` returns the wrong number of rows, NaN or infinity.
    """
    return _measure(table, lambda role: embed, seed, resamples, lexicon)


def _measure(table: Table, by_role: ByRole, seed: int, resamples: int, lexicon: Lexicon | None = None) -> Measurement:
    if table.kind == "texts":
        raise InputError(
            f"{table.source}: texts alone leave nothing to measure against, wanted the columns text and "
            "label, or anchor and positive, or sentence1, sentence2 and score"
        )
    if table.kind == "analogies":
        return _measure_analogies(table, by_role, lexicon, seed, resamples)
    by_kind = {
        "words": _measure_words,
        "scored": _measure_scored,
        "pairs": _measure_pairs,
        "labelled": _measure_labelled,
    }
    return by_kind[table.kind](table, by_role, seed, resamples)


def evaluate(
    model: SentenceTransformer,
    table: Table,
    *,
    batch_size: int = 64,
    seed: int = 0,
    resamples: int = 1000,
    progress: bool = False,
) -> Measurement:
    """`measure` with `model.encode`, `batch_size` texts at a time; `progress` shows a bar while encoding.

    Each text gets the prompt that the model has for its role. A model in training mode is back in it afterwards.
    """
    prompts = {role: prompt_of(model, role) for role in table.text_roles}
    embeds = {prompt: encoder(model, batch_size, progress, prompt) for prompt in set(prompts.values())}
    return _measure(table, lambda role: embeds[prompts[role]], seed, resamples)


def measure_sts(
    scores: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    source: str = "memory",
    seed: int = 0,
    resamples: int = 1000,
) -> Measurement:
    """Correlations of the cosines of `first` and `second`, both `(n, d)`, with the `scores` `(n,)`.

    Spearman's is what benchmarks of semantic textual similarity report (Reimers et al. 2016); Pearson's
    also asks for a straight line. Equally near pairs throughout give 0. Raises `InputError` for fewer than
    three rows, constant scores, or anything that is not finite.
    """
    grades = _grades(scores, source=source)
    found = cosines(
        finite(first, source=source, what="sentence1 embeddings"),
        finite(second, source=source, what="sentence2 embeddings"),
    )
    columns = np.stack([grades, found.astype(np.float64)])

    def both(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([spearman(draws[0], draws[1]), pearson(draws[0], draws[1])])

    result = _measurement("sts", source, ("spearman", "pearson"), columns, both, seed, resamples)
    return replace(result, by_row=dict(zip(("score", "cosine"), columns, strict=True)))


def measure_retrieval(
    queries: ArrayLike,
    candidates: ArrayLike,
    relevant: Sequence[Sequence[int]],
    *,
    source: str = "memory",
    seed: int = 0,
    resamples: int = 1000,
) -> Measurement:
    """Means over `queries` `(n, d)` of what `retrieval.figures_by_query` says of their `relevant` places
    among the `candidates` `(m, d)`.

    Raises `InputError` for fewer than two candidates, a query with nothing to find, NaN or infinity.
    """
    asked = finite(queries, source=source, what="query embeddings")
    offered = finite(candidates, source=source, what="candidate embeddings")
    check_relevant(relevant, len(offered), source=source)
    by_query = figures_by_query(relevant_ranks(asked, offered, relevant))
    columns = np.stack(list(by_query.values()))
    return _measurement("retrieval", source, tuple(by_query), columns, means, seed, resamples)


def measure_labels(
    embeddings: ArrayLike,
    labels: Sequence[Hashable],
    *,
    source: str = "memory",
    seed: int = 0,
    resamples: int = 1000,
) -> Measurement:
    """Accuracies, as `labels.hits_by_row` has them, of predicting `labels` (n of them) from `embeddings`
    `(n, d)`; which rows, how many folds and neighbours: `labels.trial_of`.

    Raises `InputError` where fewer than two labels have two rows, and for NaN or infinity.
    """
    trial = trial_of(labels, seed=seed, source=source)
    rows = finite(embeddings, source=source)[trial.rows]
    by_row = hits_by_row(rows, trial, seed=seed)
    columns = np.stack(list(by_row.values()))
    found = _measurement("labels", source, tuple(by_row), columns, means, seed, resamples)
    return replace(found, left_out=len(labels) - len(rows))


def _measurement(
    task: Task,
    source: str,
    names: tuple[str, ...],
    columns: NDArray[np.float64],
    statistic: Statistic,
    seed: int,
    resamples: int,
) -> Measurement:
    """The figures that `statistic` makes of `columns` `(c, n)`, by their names, with intervals."""
    figures = dict(zip(names, statistic(columns).tolist(), strict=True))
    ends = bootstrap(columns, statistic, resamples=resamples, seed=seed)
    by_row = dict(zip(names, columns, strict=True))
    return Measurement(task, source, columns.shape[-1], figures, dict(zip(names, ends, strict=False)), by_row=by_row)


def _measure_scored(table: Table, by_role: ByRole, seed: int, resamples: int) -> Measurement:
    scores = _grades(table.column("score"), source=table.source)
    columns = {role: table.column(role) for role in ("sentence1", "sentence2")}
    first, second = _embedded(by_role, table.source, columns)
    return measure_sts(scores, first, second, source=table.source, seed=seed, resamples=resamples)


def _measure_pairs(table: Table, by_role: ByRole, seed: int, resamples: int) -> Measurement:
    roles = [role for role in table.text_roles if role not in ("anchor", "positive")]
    others = [text for role in roles for text in table.column(role)]
    search = search_of(table.column("anchor"), table.column("positive"), others)
    check_relevant(search.relevant, len(search.candidates), source=table.source)
    queries, candidates = _embedded(by_role, table.source, {"anchor": search.queries, "positive": search.candidates})
    return measure_retrieval(queries, candidates, search.relevant, source=table.source, seed=seed, resamples=resamples)


def _measure_labelled(table: Table, by_role: ByRole, seed: int, resamples: int) -> Measurement:
    texts, labels = table.column("text"), table.column("label")
    # Choosing the rows twice gives the same rows, and here saves encoding those that are not judged.
    rows = trial_of(labels, seed=seed, source=table.source).rows.tolist()
    (embeddings,) = _embedded(by_role, table.source, {"text": [texts[i] for i in rows]})
    judged = [labels[i] for i in rows]
    found = measure_labels(embeddings, judged, source=table.source, seed=seed, resamples=resamples)
    return replace(found, left_out=len(table) - len(rows))


def _measure_words(table: Table, by_role: ByRole, seed: int, resamples: int) -> Measurement:
    first, second = _embedded(by_role, table.source, {role: table.column(role) for role in ("word1", "word2")})
    both = known(first) & known(second)
    if both.sum() < 3:
        raise InputError(f"{table.source}: {both.sum()} of {len(both)} pairs have both words known, wanted at least 3")
    found = measure_sts(
        np.asarray(table.column("score"))[both],
        first[both],
        second[both],
        source=table.source,
        seed=seed,
        resamples=resamples,
    )
    return _covered(replace(found, task="words"), len(table))


def _measure_analogies(
    table: Table, by_role: ByRole, lexicon: Lexicon | None, seed: int, resamples: int
) -> Measurement:
    fold = lexicon.fold if lexicon else str
    asked = [[fold(word) for word in table.column(role)] for role in "abcd"]
    words = list(dict.fromkeys(word for column in [lexicon.words if lexicon else [], *asked] for word in column))
    (vectors,) = _embedded(by_role, table.source, {"a": words})
    place = {word: number for number, word in enumerate(words)}
    questions = np.array([[place[word] for word in column] for column in asked]).T
    there = known(vectors)
    if lexicon:
        there[len(set(lexicon.words)) :] = False  # words behind those of the lexicon are of the table alone
    covered = there[questions].all(1)
    if not covered.any():
        raise InputError(f"{table.source}: none of {len(covered)} questions has all its words known, wanted one")
    hits = analogy_hits(np.where(there[:, None], vectors, 0), questions[covered])
    found = _measurement("analogies", table.source, ("3cosadd", "3cosmul"), hits, means, seed, resamples)
    if SECTION in table.roles:
        sections = np.asarray(table.column(SECTION))[covered]
        by_section = {str(name): float(hits[0][sections == name].mean()) for name in dict.fromkeys(sections)}
        found = replace(found, figures=found.figures | by_section)
    return _covered(found, len(table))


def _covered(found: Measurement, rows: int) -> Measurement:
    """With the share of the table's rows that the figures go over."""
    figures = found.figures | {"coverage": found.rows / rows}
    return replace(found, figures=figures, left_out=rows - found.rows)


def _grades(scores: ArrayLike, *, source: str) -> NDArray[np.float64]:
    """`scores` as float64, once they are known to order at least three rows."""
    grades = np.asarray(scores, dtype=np.float64)
    if len(grades) < 3:
        raise InputError(f"{source}: {len(grades)} scored rows, wanted at least 3 for a correlation")
    spoilt = int(np.count_nonzero(~np.isfinite(grades)))
    if spoilt:
        raise InputError(f"{source}: {spoilt} of {len(grades)} scores are NaN or infinite")
    if np.ptp(grades) == 0:
        raise InputError(f"{source}: every score is {grades[0]:g}, wanted scores that differ")
    return grades


def embedded(embed: Embed, source: str, *columns: Sequence[str]) -> list[Vectors]:
    """The embeddings `(n, d)` of each column; each distinct text is embedded once, all in one call."""
    return _embedded(lambda role: embed, source, {str(place): column for place, column in enumerate(columns)})


def _embedded(by_role: ByRole, source: str, columns: Mapping[str, Sequence[str]]) -> list[Vectors]:
    """The embeddings `(n, d)` of each role's column; texts that go the same way are embedded in one call, once each."""
    embeds = {role: by_role(role) for role in columns}
    found: dict[str, Vectors] = {}
    for embed in {id(each): each for each in embeds.values()}.values():
        roles = [role for role in columns if embeds[role] is embed]
        texts = list(dict.fromkeys(text for role in roles for text in columns[role]))
        place = {text: i for i, text in enumerate(texts)}
        vectors = np.asarray(embed(texts))
        if len(vectors) != len(texts):
            raise InputError(f"{source}: {len(texts)} texts came back as embeddings of shape {vectors.shape}")
        found |= {role: vectors[[place[text] for text in columns[role]]] for role in roles}
    return [found[role] for role in columns]
