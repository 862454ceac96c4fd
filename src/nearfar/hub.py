"""Whether the Hugging Face hub can be asked at all.

Its client tries again for more than a minute before it gives up. One short question first tells a person
without a network at once that a name is not known here, and lets a cached model open without waiting.
"""

from __future__ import annotations


def reachable(timeout: float = 5.0) -> bool:
    """True if the hub answers within `timeout` seconds; False offline, or where HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=timeout)
    except Exception:  # no route, no name, no certificate: each client library has its own
        return False
    return True
