"""Why two texts are near: the part of each pair of their tokens in the cosine."""

from nearfar.analysis.explain.explaining import Explanation, explain
from nearfar.analysis.explain.page import explanation_page

__all__ = ["Explanation", "explain", "explanation_page"]
