"""The two ways a call can end badly, told apart because the command line exits differently."""


class NearfarError(Exception):
    """Anything nearfar raises on purpose; its text is one line that a person can act on."""


class InputError(NearfarError, ValueError):
    """The user's input is wrong: the message names the file, row or argument, what was found and
    what was wanted. The command exits with status 2."""


class Stopped(NearfarError):  # noqa: N818 - it is no error
    """The run was asked to stop and did, with a checkpoint to go on from. The command exits with status 0."""


class RunError(NearfarError, RuntimeError):
    """The input was fine and the run still failed. The command exits with status 1."""


class NotFiniteError(ValueError):
    """A number that was to be finite is NaN or infinite; the message says where."""
