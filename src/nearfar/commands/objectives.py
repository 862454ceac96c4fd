"""`nearfar objectives`: the equations that there are."""

from __future__ import annotations

import inspect

from rich.table import Table as Grid

from nearfar.commands.shared import console


def objectives() -> None:
    """List the objectives: name, defaults, equation, source."""
    from nearfar.objectives import REGISTRY

    grid = Grid(show_lines=True)
    for heading in ("name", "class and defaults", "equation, mean over rows", "source"):
        grid.add_column(heading, overflow="fold")
    for name, objective in REGISTRY.items():
        options = inspect.signature(objective).parameters.values()
        defaults = ", ".join(f"{o.name}={o.default!r}" for o in options if o.name != "reduction")
        grid.add_row(name, f"{objective.__name__}({defaults})", objective.equation, objective.source)
    console.print(grid, markup=False)
