"""Natural language inference: premise, hypothesis and label to anchor, positive and negative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nearfar.data.cells import listed, shown
from nearfar.data.convert.base import Converted, converted
from nearfar.data.convert.judged import Judgement, combine
from nearfar.data.limits import check_least
from nearfar.errors import InputError

MEANINGS = ("entailment", "neutral", "contradiction")


def convert_nli(
    premises: Sequence[str],
    hypotheses: Sequence[str],
    labels: Sequence[str],
    *,
    names: Mapping[str, Sequence[str]] | None = None,
    negatives: int = 1,
    source: str = "nli",
) -> Converted:
    """What a premise entails is near it, what contradicts it far, as in supervised SimCSE (Gao et al. 2021, section 4).

    All rows of a premise are put together. Several positives or negatives of one are dealt to as many rows as it
    takes, so that each comes at least once; the paper draws one of each.

    Args:
        premises: a text a row.
        hypotheses: a text a row.
        labels: of each row; case does not count.
        names: "entailment" and "contradiction" -> labels that mean so, where they are numbers or other words. Any
            other label says neither.
        negatives: of a row; 0 makes pairs of all entailments. Premises with fewer contradictions are left out.
        source: for messages.

    Raises:
        InputError: lengths differ, a label that is named does not occur, or no row can be made.
    """
    check_least("negatives", negatives, 0)
    if not len(premises) == len(hypotheses) == len(labels):
        raise InputError(
            f"{source}: found {len(premises)} premises, {len(hypotheses)} hypotheses, {len(labels)} labels,"
            " wanted equal numbers"
        )
    near_by_label = _near_by_label(labels, names or {}, negatives, source)
    sides = [near_by_label.get(label.casefold()) for label in labels]
    rows = zip(range(len(labels)), premises, hypotheses, sides, strict=True)
    made = combine(
        (Judgement(row, a, b, near) for row, a, b, near in rows if near is not None),
        negatives=negatives,
        need="contradictions",
    )
    made.reasons |= {row: f"labelled {shown(labels[row])}" for row, side in enumerate(sides) if side is None}
    noted = [("premises with several positives or negatives, each in a row at least once", made.several)]
    return converted(
        made.rows, negatives=negatives, source=source, read=len(labels), left_out=made.left_out(), noted=noted
    )


def _near_by_label(
    labels: Sequence[str], names: Mapping[str, Sequence[str]], negatives: int, source: str
) -> dict[str, bool]:
    """Label in lower case -> whether it means near."""
    if unknown := [meaning for meaning in names if meaning not in MEANINGS]:
        raise InputError(f"--label: found {shown(unknown[0])}, wanted {', '.join(MEANINGS)}")
    there = dict.fromkeys(label.casefold() for label in labels)
    found: dict[str, str] = {}
    for meaning in MEANINGS:
        for name in names.get(meaning, [meaning]):
            if name.casefold() in there:
                if found.setdefault(name.casefold(), meaning) != meaning:
                    raise InputError(
                        f"--label: found {shown(name)} for {found[name.casefold()]} and {meaning}, wanted one"
                    )
            elif meaning in names or meaning == "entailment" or (meaning == "contradiction" and negatives):
                hint = "" if meaning in names else f" (--label {meaning}=NAME says which label means so)"
                raise InputError(f"{source}: found labels {listed(there)}, wanted {shown(name)}{hint}")
    return {label: meaning == "entailment" for label, meaning in found.items() if meaning != "neutral"}
