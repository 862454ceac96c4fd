"""Mining with models: texts to vectors, a second model as a judge, and `mine_negatives`, which puts them together."""

from nearfar.mining.judges import open_judge
from nearfar.mining.negatives import mine_negatives

__all__ = ["mine_negatives", "open_judge"]
