"""A page on this machine alone that follows a run while it is made."""

from nearfar.live.serving import Live

__all__ = ["Live"]
