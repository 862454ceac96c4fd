"""Training: tables, an encoder and an objective in, a measured model out."""

from nearfar.training.loop import train
from nearfar.training.outcome import Outcome

__all__ = ["Outcome", "train"]
