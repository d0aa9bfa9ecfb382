"""What goes wrong with an object store, as a sentence that says where and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from loopline.components.errors import LooplineError
from loopline.components.io.object_store import SCHEME, endpoint

# How the store, Arrow and obstore name what went wrong, underscores and case left out.
_REFUSALS = (
    "accessdenied",
    "forbidden",
    "invalidaccesskeyid",
    "signaturedoesnotmatch",
    "unrecognizedclient",
    "expiredtoken",
    "invalidtoken",
)
_UNREACHABLE = (
    "http error",
    "networkconnection",
    "curlcode",
    "timed out",
    "could not connect",
    "connection was closed",
)


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what the store says in the block into a sentence.

    Raises:
        LooplineError: something went wrong with the store.
    """
    try:
        yield
    except (OSError, pa.ArrowException, BaseError) as error:
        raise LooplineError(_sentence(uri, error)) from error


def is_missing_bucket(error: FileNotFoundError) -> bool:
    """Whether not only the object is missing, but its bucket."""
    return "NoSuchBucket" in str(error)


def _sentence(uri: str, error: Exception) -> str:
    text = str(error).partition("\n\nDebug source")[0]
    said = text.replace("_", "").lower()
    where = endpoint() or "Amazon S3"
    if "nosuchbucket" in said:
        bucket = uri.removeprefix(SCHEME).split("/")[0]
        return f"there is no bucket '{bucket}' at {where}, so {uri} cannot be used; make it, or name another"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or any(word in said for word in _REFUSALS):
        return (
            f"{where} refuses access to {uri}: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "and what they are allowed to do"
        )
    if any(word in said for word in _UNREACHABLE):
        return f"{where} cannot be reached, so {uri} cannot be used: check AWS_ENDPOINT_URL and the network"
    reason = text.partition(" - ")[2] or text
    return f"{uri} cannot be used: {next(iter(reason.splitlines()), 'no reason is given')}"
