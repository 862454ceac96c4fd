"""Training: tables, an encoder and an objective in, a measured model out."""

from nearfar.training.loop import Outcome, train
from nearfar.training.settings import Settings

__all__ = ["Outcome", "Settings", "train"]
