"""An explanation as one HTML document that works without a network."""

from __future__ import annotations

from nearfar.analysis.explain.explaining import Explanation


def explanation_page(found: Explanation, model: str, *, strongest: int = 12) -> str:
    """The texts coloured by their tokens' parts, the strongest pairs, the heat table.

    Args:
        found: the explanation.
        model: its name.
        strongest: pairs that are listed.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nearfar.analysis.explain", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scale = float(abs(found.pairs).max()) or 1.0
    return environment.get_template("page.html").render(
        found=found,
        model=model,
        strongest=found.strongest(strongest),
        heat=(found.pairs / scale).round(3).tolist(),
        sides=[
            ("first", found.first, _relative(found.pairs.sum(1))),
            ("second", found.second, _relative(found.pairs.sum(0))),
        ],
    )


def _relative(parts: object) -> list[float]:
    import numpy as np

    values = np.asarray(parts, np.float64)
    return (values / (np.abs(values).max() or 1.0)).round(3).tolist()  # type: ignore[no-any-return]
