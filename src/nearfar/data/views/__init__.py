"""Views: a positive made from the text itself."""

from nearfar.data.views.base import TextView, View
from nearfar.data.views.compose import Views
from nearfar.data.views.registry import VIEWS, parse_view

__all__ = ["VIEWS", "TextView", "View", "Views", "parse_view"]
