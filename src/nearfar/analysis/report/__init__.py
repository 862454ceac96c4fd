"""report.html: one file that works offline, pictures first, each with a sentence on how to read it."""

from nearfar.analysis.report.charts import histogram_chart, line_chart, path_chart, rate_chart
from nearfar.analysis.report.drawing import write_pictures
from nearfar.analysis.report.page import Grid, Page, Picture, render, write_page
from nearfar.analysis.report.space import Drawn, draw
from nearfar.analysis.report.training import training_page

__all__ = [
    "Drawn",
    "Grid",
    "Page",
    "Picture",
    "draw",
    "histogram_chart",
    "line_chart",
    "path_chart",
    "rate_chart",
    "render",
    "training_page",
    "write_page",
    "write_pictures",
]
