"""How an equation is computed, kept apart from the equation itself.

The module is also the context manager that sets the knobs: ``with nearfar.execution(max_bytes=2**24): ...``.
"""

import sys
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

from nearfar.execution.derivative import full_precision, once
from nearfar.execution.log_sums import LogSums, log_sums
from nearfar.execution.own import Given, MakeOwn, OwnDistances, OwnDots, own_table
from nearfar.execution.ranks import whole_batch
from nearfar.execution.scores import Cosines, Distances, Dots, MakeScores, blocks, hide_, inverse_lengths, with_columns
from nearfar.execution.settings import execution, rows_per_strip
from nearfar.execution.shares import coarse, log_shares_
from nearfar.execution.strips import RowObjective, Task, Terms, divisor, mean_over_rows, total_of_rows

__all__ = [
    "Cosines",
    "Distances",
    "Dots",
    "Given",
    "LogSums",
    "MakeOwn",
    "MakeScores",
    "OwnDistances",
    "OwnDots",
    "RowObjective",
    "Task",
    "Terms",
    "blocks",
    "coarse",
    "divisor",
    "execution",
    "full_precision",
    "hide_",
    "inverse_lengths",
    "log_shares_",
    "log_sums",
    "mean_over_rows",
    "once",
    "own_table",
    "rows_per_strip",
    "total_of_rows",
    "whole_batch",
    "with_columns",
]


class _CallableModule(ModuleType):
    """`nearfar.execution` names both the part of the library and, called, its settings."""

    def __call__(
        self,
        *,
        strip_rows: int | None = None,
        max_bytes: int | None = None,
        group: Any = None,
        replicated: bool | None = None,
    ) -> AbstractContextManager[None]:
        return execution(strip_rows=strip_rows, max_bytes=max_bytes, group=group, replicated=replicated)


sys.modules[__name__].__class__ = _CallableModule
