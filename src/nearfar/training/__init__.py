"""Training: tables, an encoder and an objective in, a measured model out."""

from nearfar.training.keeping import Checkpoints
from nearfar.training.loop import train
from nearfar.training.outcome import DivergedError, Outcome, Reading, Step

__all__ = ["Checkpoints", "DivergedError", "Outcome", "Reading", "Step", "train"]
