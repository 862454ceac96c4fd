"""Training: tables, an encoder and an objective in, a measured model out."""

from nearfar.training.loop import Outcome, train

__all__ = ["Outcome", "train"]
