"""How an equation is computed, kept apart from the equation itself.

The module is also the context manager that sets the knobs: ``with nearfar.execution(max_bytes=2**24): ...``.
"""

import sys
from contextlib import AbstractContextManager
from types import ModuleType

from nearfar.execution.settings import execution
from nearfar.execution.strips import RowObjective, Terms, row_terms, total_loss

__all__ = ["RowObjective", "Terms", "execution", "row_terms", "total_loss"]


class _CallableModule(ModuleType):
    """`nearfar.execution` names both the part of the library and, called, its settings."""

    def __call__(self, *, strip_rows: int | None = None, max_bytes: int | None = None) -> AbstractContextManager[None]:
        return execution(strip_rows=strip_rows, max_bytes=max_bytes)


sys.modules[__name__].__class__ = _CallableModule
