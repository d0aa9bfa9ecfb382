"""The object store, as the environment names it, and what it says when something is wrong, in words.

``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, and whatever else the AWS
client finds credentials by. Without an endpoint it is Amazon's.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from loopline.components.errors import LooplineError

SCHEME = "s3://"
CONNECT_SECONDS = 5
REQUEST_SECONDS = 60
ATTEMPTS = 2

# Where the AWS client finds credentials, besides its files.
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
# How Arrow and botocore spell what they are told, underscores and case left out.
_REFUSALS = ("accessdenied", "forbidden", "invalidaccesskeyid", "signaturedoesnotmatch", "unrecognizedclient", "token")
_SILENCE = ("networkconnection", "curlcode", "timed out", "timeout", "could not connect", "connection was closed")


def connect(uri: str) -> tuple[pafs.FileSystem, str]:
    """The store as Arrow's file system, and the ``bucket/key`` of a URI in it.

    Raises:
        LooplineError: the URI names no bucket, or there are no credentials.
    """
    path = uri.removeprefix(SCHEME).strip("/")
    if not path:
        raise LooplineError(f"{uri} names no bucket; write s3://bucket/key")
    expect_credentials(uri)
    return _store(endpoint(), region(), CONNECT_SECONDS, REQUEST_SECONDS, *map(os.environ.get, _CREDENTIALS)), path


def endpoint() -> str | None:
    """The address of the store; None for Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL") or None


def region() -> str | None:
    """The region; a store of one's own has none, and takes any."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or ("us-east-1" if endpoint() else None)


def bucket_of(uri: str) -> str:
    """The bucket of a URI."""
    return uri.removeprefix(SCHEME).partition("/")[0]


def no_bucket(uri: str) -> str:
    """The sentence for a bucket that is not there."""
    return (
        f"there is no bucket '{bucket_of(uri)}' at {endpoint() or 'Amazon S3'}, so {uri} cannot be used; "
        "make it, or name another"
    )


def expect_credentials(uri: str) -> None:
    """Refuse early where the AWS client would ask a cloud's metadata service that a store of one's own does not have.

    Raises:
        LooplineError: there are no credentials, or half of a pair.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID") and not os.environ.get("AWS_SECRET_ACCESS_KEY"):
        raise LooplineError(f"AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not, so {uri} cannot be used")
    files = [os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), "~/.aws/config"]
    found = any(map(os.environ.get, _CREDENTIALS)) or any(Path(file).expanduser().is_file() for file in files)
    if endpoint() and not found:
        raise LooplineError(
            f"there are no credentials for {uri}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(in a pod they come from the Secret loopline-s3)"
        )


@cache
def _store(
    address: str | None, place: str | None, connect_seconds: float, request_seconds: float, *_: str | None
) -> pafs.FileSystem:
    """Making a connection outlasts most requests. Credentials are given so that a change of them is noticed."""
    return pafs.S3FileSystem(
        endpoint_override=address,
        region=place,
        connect_timeout=connect_seconds,
        request_timeout=request_seconds,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        allow_delayed_open=True,  # a small object is one request
    )


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what the store says in the block into a sentence.

    Raises:
        LooplineError: something went wrong with the store.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise LooplineError(_sentence(uri, str(error))) from error


def _sentence(uri: str, text: str) -> str:
    said = text.replace("_", "").lower()
    where = endpoint() or "Amazon S3"
    if "nosuchbucket" in said:
        return no_bucket(uri)
    if any(word in said for word in _REFUSALS):
        return (
            f"{where} refuses access to {uri}: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "and what they are allowed to do"
        )
    if any(word in said for word in _SILENCE):
        return f"{where} cannot be reached, so {uri} cannot be used: check AWS_ENDPOINT_URL and the network"
    return f"{uri} cannot be used: {next(iter(text.splitlines()), 'no reason is given')}"
