"""report.html: one file that works offline, pictures first, each with a sentence on how to read it."""

from nearfar.analysis.report.charts import histogram_chart, line_chart, path_chart, rate_chart
from nearfar.analysis.report.page import Grid, Page, Picture, write_page
from nearfar.analysis.report.training import training_page

__all__ = [
    "Grid",
    "Page",
    "Picture",
    "histogram_chart",
    "line_chart",
    "path_chart",
    "rate_chart",
    "training_page",
    "write_page",
]
