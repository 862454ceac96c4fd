"""Writes docs/objectives/: a page and a picture an objective, from its docstring, its gradient and objectives.toml.

python docs/generate.py
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import vl_convert

from nearfar.analysis.report.forces import forces
from nearfar.objectives import REGISTRY, Objective

HERE = Path(__file__).parent
PAGES = HERE / "objectives"
VARIED = {"temperature": (0.05, 0.1, 0.5), "margin": (0.2, 0.5, 1.0), "scale": (5.0, 10.0, 20.0)}
"""The argument that the picture varies: the first of these that an objective has."""


def settings_of(make: Callable[..., Objective]) -> Iterator[tuple[str, Objective]]:
    """The objective with a few values of the argument that is varied, and how to call them."""
    options = inspect.signature(make).parameters
    name = next((name for name in VARIED if name in options), None)
    if name is None:
        yield "default", make()
        return
    for value in sorted({*VARIED[name], options[name].default}):
        yield f"{name} {value:g}", make(**{name: value})


def picture(make: Callable[..., Objective]) -> str:
    """The forces on a near and on a far candidate, as SVG."""
    rows = [
        {"cosine": x, "force": y, "setting": name, "candidate": f"on the {side} candidate"}
        for name, objective in settings_of(make)
        for side in ("near", "far")
        for x, y in forces(objective, side)
    ]
    spec: dict[str, Any] = {
        "data": {"values": rows},
        "facet": {"column": {"field": "candidate", "sort": "descending", "title": None}},
        "resolve": {"scale": {"y": "independent"}},
        "spec": {
            "width": 300,
            "height": 220,
            "mark": {"type": "line"},
            "encoding": {
                "x": {"field": "cosine", "type": "quantitative", "title": "cosine to the anchor"},
                "y": {"field": "force", "type": "quantitative", "title": "force along the cosine"},
                "color": {"field": "setting", "type": "nominal", "title": None},
            },
        },
    }
    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg


def page(name: str, make: Callable[..., Objective], notes: dict[str, str]) -> str:
    """The page of an objective in Markdown."""
    title = make.__name__
    options = ", ".join(f"{o.name}={o.default!r}" for o in inspect.signature(make).parameters.values())
    contrasts = ", ".join(f"`nearfar.{kind}`" for kind in make().contrasts)
    return f"""# {title}

`nearfar.{title}({options})`, on the command line `--objective {name}`.

**Equation.** `{make().equation}` ({make().source})

**What it pulls and pushes.** {notes["pulls"]}

![Force on a near and on a far candidate against its cosine]({name}.svg)

The curves are minus the slope of the loss with respect to the cosine of one candidate, worked out by the objective
itself on vectors of length 1 while the other candidate stays at a cosine of 0.5: above 0 it is drawn to the anchor,
below 0 pushed away, at 0 left alone.

**Choose it for** {notes["choose"][0].lower() + notes["choose"][1:]}

**Not for** {notes["avoid"][0].lower() + notes["avoid"][1:]}

**What it needs of the data.** Any of {contrasts}.

**Conventions elsewhere.** {notes["differs"]}

## In full

```{{ .text .in-full }}
{inspect.getdoc(make)}
```
"""


def main() -> None:
    """Write all pages and the table of them."""
    notes = tomllib.loads((HERE / "objectives.toml").read_text("utf-8"))
    PAGES.mkdir(exist_ok=True)
    lines = ["# Objectives", "", "| name | equation | choose it for |", "| --- | --- | --- |"]
    for name, make in REGISTRY.items():
        (PAGES / f"{name}.svg").write_text(picture(make), "utf-8")
        (PAGES / f"{name}.md").write_text(page(name, make, notes[name]), "utf-8")
        equation = make().equation.replace("|", "\\|")
        lines.append(f"| [{name}]({name}.md) | `{equation}` | {notes[name]['choose']} |")
    lines += ["", "`nearfar.Matryoshka(loss, dims=[...])` wraps any of them: the sum over the space cut to each width."]
    (PAGES / "index.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
