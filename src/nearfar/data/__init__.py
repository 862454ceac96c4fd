"""Tables of texts, by roles."""

from nearfar.data.roles import Kind
from nearfar.data.tables import Table, columns_of, read_table

__all__ = ["Kind", "Table", "columns_of", "read_table"]
