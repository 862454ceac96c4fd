"""Tables of texts, by roles."""

from nearfar.data.roles import Kind
from nearfar.data.streams import Stream, read_stream
from nearfar.data.tables import Table, columns_of, read_table

__all__ = ["Kind", "Stream", "Table", "columns_of", "read_stream", "read_table"]
