"""Hypothesis draws the same examples every run and never fails for being slow on a busy machine."""

import torch
from hypothesis import settings

settings.register_profile("nearfar", deadline=None, derandomize=True, max_examples=15)
settings.load_profile("nearfar")

# The tensors of the tests are small: a second thread would only wait for the first.
torch.set_num_threads(1)
