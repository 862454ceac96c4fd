"""Pairs for a general English encoder from WordNet, NLI and paraphrase tables: the first step of docs/recipes.md.

    python examples/english_tables.py DATA TABLES

DATA holds word/wordnet30.en.tsv.gz (synset, lemmas, definition, examples, hypernyms), nli/*.en*.tsv (label, premise,
hypothesis), paraphrase/*.tsv (label, sentence1, sentence2) and sts/stsb.en.{dev,test}.tsv. A JSONL table of anchor
and positive is written to TABLES for each relation. A pair that stands in STS-B's dev or test part is left out: MRPC,
for one, shares pairs with it.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from pathlib import Path

Pair = tuple[str, str]

NLI = (
    "snli.en.dev",
    "snli.en.test",
    "mnli_dev.en",
    "xnli_dev.en",
    "scitail_test.en",
    "anli_test.en",
    "med_monotonicity.en",
)
PARAPHRASES = ("mrpc.en.train", "parade.en.train", "pawsx_dev.en")


def rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def wordnet(path: Path) -> dict[str, list[Pair]]:
    """Words and their definition, words that share a meaning, meanings and the wider meaning above them, examples."""
    synsets = {row["synset"]: row for row in rows(path)}
    words = {key: [w.replace("_", " ") for w in re.split(r"[|;]", row["lemmas"])] for key, row in synsets.items()}
    found: dict[str, list[Pair]] = defaultdict(list)
    for key, row in synsets.items():
        named = ", ".join(words[key])
        found["glosses"].append((named, row["definition"]))
        found["synonyms"] += pairwise(words[key])
        found["examples"] += [
            (example, f"{named}: {row['definition']}") for example in re.split(r"\s*\|\s*", row["examples"]) if example
        ]
        for wider in filter(synsets.__contains__, re.split(r"[|; ,]+", row["hypernyms"])):
            found["hypernyms"].append((row["definition"], synsets[wider]["definition"]))
            found["hypernym_words"].append((named, ", ".join(words[wider])))
    return found


def entailments(folder: Path) -> dict[str, list[Pair]]:
    """A premise and what follows from it; two sentences that follow from one premise."""
    found: dict[str, list[Pair]] = defaultdict(list)
    for name in NLI:
        follows: dict[str, list[str]] = defaultdict(list)
        for row in rows(folder / f"{name}.tsv"):
            if row["label"] in ("entailment", "entails"):
                follows[row["premise"]].append(row["hypothesis"])
        for premise, hypotheses in follows.items():
            found["entailments"] += [(premise, hypothesis) for hypothesis in hypotheses]
            found["common_premise"] += combinations(hypotheses, 2)
    return found


def paraphrases(folder: Path) -> list[Pair]:
    return [
        (row["sentence1"], row["sentence2"])
        for name in PARAPHRASES
        for row in rows(folder / f"{name}.tsv")
        if row["label"] == "1"
    ]


def main(data: Path, tables: Path) -> None:
    held = {
        frozenset((letters(row["sentence1"]), letters(row["sentence2"])))
        for part in ("dev", "test")
        for row in rows(data / f"sts/stsb.en.{part}.tsv")
    }

    def usable(pairs: Iterable[Pair]) -> list[Pair]:
        known = (pair for pair in dict.fromkeys(pairs) if all(text.strip() for text in pair) and pair[0] != pair[1])
        return [pair for pair in known if frozenset(map(letters, pair)) not in held]

    found = wordnet(data / "word/wordnet30.en.tsv.gz") | entailments(data / "nli")
    found["paraphrases"] = paraphrases(data / "paraphrase")
    tables.mkdir(parents=True, exist_ok=True)
    for name, pairs in found.items():
        lines = [json.dumps({"anchor": a, "positive": p}, ensure_ascii=False) for a, p in usable(pairs)]
        (tables / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        print(f"{name}: {len(lines):,} pairs")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
