"""Batches: which rows go together, as a pure function of (seed, epoch); row numbers alone, no texts and no encoder."""

from nearfar.data.batches.classes import per_class, small_classes
from nearfar.data.batches.clusters import by_cluster
from nearfar.data.batches.distinct import no_duplicates
from nearfar.data.batches.orders import Order, Rows, by_length, shuffled
from nearfar.data.batches.plan import BatchPlan, Epoch, Position, SourceRows, shard, temperature_weights

__all__ = [
    "BatchPlan",
    "Epoch",
    "Order",
    "Position",
    "Rows",
    "SourceRows",
    "by_cluster",
    "by_length",
    "no_duplicates",
    "per_class",
    "shard",
    "shuffled",
    "small_classes",
    "temperature_weights",
]
