"""Hypothesis draws the same examples every run and never fails for being slow on a busy machine."""

from hypothesis import settings

settings.register_profile("nearfar", deadline=None, derandomize=True, max_examples=15)
settings.load_profile("nearfar")
