"""The report of a space: pictures first, each with how to read it and what it means here, then all the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from nearfar.analysis.analysis import Analysis, Figure
from nearfar.analysis.report import map as maps
from nearfar.analysis.report import space_charts as charts
from nearfar.analysis.report.drawing import Spec, svg
from nearfar.analysis.report.layout import Layout, layout
from nearfar.analysis.report.map import Colouring
from nearfar.analysis.report.page import Finding, Grid, Map, Page, Picture
from nearfar.analysis.report.wording import page_words, picture_words
from nearfar.analysis.verdicts import measure_named
from nearfar.analysis.words import VERDICTS, Language, title

ROWS = 25
"""Of the lists of hubs and of suspects on the page; JSON has all that the analysis lists."""

PICTURES: dict[str, tuple[Callable[[Analysis, charts.Words], Spec | None], tuple[str, ...]]] = {
    "similarity": (charts.similarity, ("auc", "overlap")),
    "scores": (charts.scores, ("spearman", "pearson")),
    "plane": (charts.plane, ("alignment", "uniformity")),
    "spectrum": (charts.spectrum, ("effective_rank", "participation_ratio")),
    "dimensions": (charts.dimensions, ("largest_dimension",)),
    "hardness": (charts.hardness, ("effective_negatives", "hardest_share")),
    "gradient": (charts.gradient, ("gradient_norm", "gradient_tail")),
    "views": (charts.views, ("invariance",)),
    "hubs": (charts.hubs, ("hubness", "antihubs")),
}
"""Picture -> what draws it, and the figures that it shows."""

MAPPED = ("knn_accuracy", "silhouette", "v_measure", "mrr@10", "mean_cosine")
"""Figures beside the map, of which those that there are."""


@dataclass(frozen=True)
class Drawn:
    """An analysis with its pictures.

    Attributes:
        found: the analysis.
        layout: of its points on the map.
        colourings: of the map, the first is shown first.
        language: of all words.
    """

    found: Analysis
    layout: Layout
    colourings: list[Colouring]
    language: Language

    def specs(self) -> dict[str, Spec]:
        """Vega-Lite specifications of all pictures that there are, the map first."""
        words = page_words(self.language)
        still = charts.space_map(self.layout.places, self.colourings[0].of_points())
        drawn = {name: picture(self.found, words) for name, (picture, _) in PICTURES.items()}
        return {"map": still} | {name: charts.SIZE | spec for name, spec in drawn.items() if spec is not None}

    def page(self, model: str) -> Page:
        """The page, which calls the model `model`."""
        return _page(self, model)


def draw(found: Analysis, *, language: Language = "en") -> Drawn:
    """Lay the points of an analysis out on a map, and find what to colour them by."""
    places = layout(found.points, seed=found.settings["seed"])
    return Drawn(found, places, maps.colourings(found, places, page_words(language)), language)


def _page(drawn: Drawn, model: str) -> Page:
    found, language = drawn.found, drawn.language
    words, pictures = page_words(language), picture_words(language)
    verdicts = Counter(figure.verdict for figure in found.figures.values())
    lead = words["lead"].format(
        data=Path(found.source).name,
        points=f"{len(found.points):,}",
        width=found.width,
        all=len(found.figures),
        **{verdict: verdicts[verdict] for verdict in VERDICTS},
    )
    shown = [
        Picture(**pictures[name], svg=svg(spec), findings=_findings(found, PICTURES[name][1], language), grid=grid)
        for name, spec in drawn.specs().items()
        if name != "map"
        for grid in [_hubs(found, words) if name == "hubs" else None]
    ]
    if found.false_negatives:
        said = _findings(found, ("suspects",), language)
        shown.append(Picture(**pictures["suspects"], svg="", findings=said, grid=_suspects(found, words)))
    return Page(
        title=words["title"].format(model=model),
        lead=lead,
        notes=[*(f"{note[language][0].upper()}{note[language][1:]}." for note in found.notes), words["rules"]],
        pictures=shown,
        grids=[*_numbers(found, words, language)],
        language=language,
        map=_map(drawn),
    )


def _map(drawn: Drawn) -> Map:
    words, said = page_words(drawn.language), picture_words(drawn.language)["map"]
    return Map(
        title=said["title"],
        reading=said["reading"].format(kept=f"{drawn.layout.kept:.0%}"),
        findings=_findings(drawn.found, MAPPED, drawn.language),
        words=words,
        data=maps.map_data(drawn.found, drawn.layout, drawn.colourings, words),
        vega=maps.vega(),
        script=maps.script(),
    )


def _findings(found: Analysis, names: Iterable[str], language: Language) -> list[Finding]:
    """What the figures of these names say, of `invariance` each view's."""
    return [
        Finding(figure.verdict, VERDICTS[figure.verdict][language], figure.title(language), written(figure), meaning)
        for name in names
        for key, figure in found.figures.items()
        if key.partition(":")[0] == name
        for meaning in [figure.meaning(language)]
    ]


def written(figure: Figure) -> str:
    """The value and its interval, as its line of the table of measurements writes numbers."""
    form = measure_named(figure.name).form
    ends = figure.interval
    between = "" if ends is None else f" [{format(ends[0], form)}, {format(ends[1], form)}]"
    return format(figure.value, form) + between


def _numbers(found: Analysis, words: charts.Words, language: Language) -> Iterable[Grid]:
    rows = [
        (figure.title(language), written(figure), f"{figure.rows:,}", VERDICTS[figure.verdict][language],
         f"{figure.reading(language)} {figure.meaning(language)}")
        for figure in found.figures.values()
    ]  # fmt: skip
    headings = [words[name] for name in ("figure", "value", "rows", "verdict")]
    yield Grid(words["figures"], [*headings, ""], rows, words["figures_reading"])
    if found.left_out:
        why = [(title(name, language), reason[language]) for name, reason in found.left_out.items()]
        yield Grid(words["left_out"], (words["figure"], words["why"]), why)
    settings = [(name, str(value)) for name, value in found.settings.items()]
    yield Grid(words["settings"], (words["name"], words["value"]), settings)


def _hubs(found: Analysis, words: charts.Words) -> Grid | None:
    rows = [(f"{hub.count:,}", hub.text or words["row"].format(row=hub.row + 1)) for hub in found.hubs[:ROWS]]
    return Grid(words["count"], (words["count"], words["text"]), rows) if rows else None


def _suspects(found: Analysis, words: charts.Words) -> Grid:
    rows = [
        (
            f"{suspect.cosine:.3f}",
            "" if suspect.own is None else f"{suspect.own:.3f}",
            suspect.text or words["row"].format(row=suspect.row + 1),
            suspect.other_text or words["row"].format(row=suspect.other + 1),
        )
        for suspect in found.false_negatives[:ROWS]
    ]
    return Grid(words["other_text"], [words[name] for name in ("cosine", "own", "text", "other_text")], rows)
