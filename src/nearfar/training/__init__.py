"""Training: tables, an encoder and an objective in, a measured model out."""

from nearfar.training.loop import train
from nearfar.training.outcome import DivergedError, Outcome, Reading, Step

__all__ = ["DivergedError", "Outcome", "Reading", "Step", "train"]
