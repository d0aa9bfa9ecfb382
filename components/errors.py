"""Errors that are meant for people: one sentence saying what is wrong, where, and what to do."""


class LooplineError(Exception):
    """Something the user can act on.

    The message is the whole story: the command prints it on one line and exits non-zero, without a
    traceback. Anything else that is raised is a bug of ours.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class CorruptArtifactError(LooplineError):
    """The bytes of an artifact are not those that its digest was taken of."""
