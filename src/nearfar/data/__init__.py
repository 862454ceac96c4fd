"""Tables of texts, by roles."""

from nearfar.data.roles import Kind
from nearfar.data.tables import Table, read_table

__all__ = ["Kind", "Table", "read_table"]
