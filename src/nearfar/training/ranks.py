"""Ranks: several processes that train one encoder as one process would.

Each rank makes the same batch, embeds its own rows of it (`sharing.py`) and has its share of the encoder's gradient,
which is summed (`gradients.py`). Here is what they agree on. In one process all of this does nothing.
"""

from __future__ import annotations

import atexit
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from nearfar.encoders import Encoder
from nearfar.errors import InputError, NearfarError, RunError, Stopped
from nearfar.training.alive import Alive

Item = TypeVar("Item")


def many() -> bool:
    """Whether this process is one of several ranks."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def place() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    return (distributed.get_rank(), distributed.get_world_size()) if many() else (0, 1)


@contextmanager
def together(minutes: float) -> Iterator[None]:
    """Within the block the ranks stand in for each other: where one dies or fails, all stop and say which.

    All leave the block together, so that none is missed by the others for having finished before them.

    Args:
        minutes: that a rank waits for the others before it gives up.

    Raises:
        RunError: another rank has died or failed.
        InputError: see `form_group`.
    """
    global _alive
    form_group(minutes)
    if not many() or _alive or "MASTER_PORT" not in os.environ:
        yield
        return
    _alive = Alive(*place())
    try:
        yield
        wait_for_all()
    except Stopped:  # all of them, by agreement
        wait_for_all()
        raise
    except Exception as error:
        fault = "" if isinstance(error, NearfarError) else _alive.fault()
        if fault:
            _alive.fail(fault)
            raise RunError(fault) from error
        _alive.fail(f"rank {place()[0]} stopped: {error or type(error).__name__}")
        raise
    finally:
        _alive.end()
        _alive = None


_alive: Alive | None = None


def form_group(minutes: float) -> None:
    """Meet the other ranks where the environment names some (torchrun, accelerate launch); else nothing.

    Args:
        minutes: that a rank waits for the others before it gives up.

    Raises:
        InputError: the environment names ranks, but not where they meet.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        return
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        raise InputError(f"WORLD_SIZE: found {os.environ['WORLD_SIZE']}, wanted {' and '.join(missing)} beside it")
    os.environ.setdefault("LOCAL_RANK", os.environ["RANK"])
    # Else accelerate would take all cores for each rank.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _local_ranks())))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo"  # what is agreed on are numbers on the CPU
    distributed.init_process_group(backend, timeout=timedelta(minutes=minutes))
    atexit.register(distributed.destroy_process_group)


def _local_ranks() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))


def wait_for_all() -> None:
    """Go on when every rank has come here."""
    any_rank(False)


@contextmanager
def own_draws() -> Iterator[None]:
    """Within the block torch draws numbers that no other rank draws; what follows is drawn alike everywhere again.

    Where the block draws none, as without dropout, what follows is drawn as in one process.
    """
    before = _generators()
    seed = int(torch.randint(2**62, ()))
    after = _generators()
    torch.manual_seed(seed + place()[0])
    seeded = _generators()
    try:
        yield
    except BaseException:
        _set_generators(before)
        raise
    drawn = any_rank(not all(map(torch.equal, seeded, _generators())))
    _set_generators(after if drawn else before)


def _generators() -> list[torch.Tensor]:
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [])]


def _set_generators(states: Sequence[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)


def from_first(make: Callable[[], Item]) -> Item:
    """What rank 0 makes, on every rank; random numbers that it draws meanwhile are not missed by the others.

    Raises:
        NearfarError: rank 0's, on every rank.
    """
    if not many():
        return make()
    box: list[Any] = [None, None]
    if place()[0] == 0:
        states = _generators()
        try:
            box[0] = make()
        except NearfarError as error:
            box[1] = error
        _set_generators(states)
    distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    if box[1]:
        raise box[1]
    found: Item = box[0]
    return found


@contextmanager
def first_rank_first() -> Iterator[None]:
    """Rank 0 does the block before all others do, so that these find what it has left in a cache."""
    rank = place()[0]
    if many() and rank:
        wait_for_all()
    try:
        yield
    finally:  # where rank 0 fails the others fail in the same way, each with the same message
        if many() and not rank:
            wait_for_all()


def check_alike(**parts: object) -> None:
    """Raise an InputError where this rank has something else than rank 0: a file of its own, say."""
    if not many():
        return
    digests = {name: hashlib.sha256(repr(part).encode()).hexdigest() for name, part in parts.items()}
    first = from_first(lambda: digests)
    if other := [name for name in digests if digests[name] != first[name]]:
        raise InputError(f"rank {place()[0]}: found other {' and '.join(other)} than rank 0, wanted the same")


def start_alike(encoder: Encoder) -> None:
    """Give every rank the parameters of rank 0: those that were drawn or worked out may differ in the last digit."""
    if many():
        for tensor in (*encoder.model.state_dict().values(), *encoder.parameters()):
            distributed.broadcast(tensor.detach(), src=0)


def as_first(number: float) -> float:
    """The number that rank 0 has."""
    if not many():
        return number
    told = torch.tensor([number], dtype=torch.float64)
    distributed.broadcast(told, src=0)
    return float(told)


def any_rank(flag: bool) -> bool:
    """Whether it is true on any rank."""
    if not many():
        return flag
    told = torch.tensor([float(flag)])
    distributed.all_reduce(told)
    return bool(told > 0)
