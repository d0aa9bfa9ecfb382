"""The object store that the environment names: clients and credentials.

``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, or whatever other
credentials a cluster or a cloud provides. Without an endpoint it is Amazon's.
"""

import os
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.fs as pafs
from obstore.store import S3Store

from loopline.components.errors import LooplineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import S3Credential

SCHEME = "s3://"
CONNECT_SECONDS = 5
# Without a byte; an object that is on its way may take longer.
REQUEST_SECONDS = 60
OBJECT_SECONDS = 3600
ATTEMPTS = 2

# Where credentials come from, besides the files of a profile.
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)


def open_bucket(uri: str) -> tuple[S3Store, str]:
    """A client of the bucket that a URI names, and the key of the URI in it.

    Raises:
        LooplineError: the URI names no bucket, or there are no credentials.
    """
    bucket, _, key = _path(uri).partition("/")
    _expect_credentials(uri)
    limits = (CONNECT_SECONDS, REQUEST_SECONDS)
    return _client(bucket, endpoint(), _region(), limits, *map(os.environ.get, _CREDENTIALS)), key


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The store as Arrow's file system, and the ``bucket/key`` of a URI in it.

    Raises:
        LooplineError: the URI names no bucket, or there are no credentials.
    """
    path = _path(uri)
    _expect_credentials(uri)
    limits = (CONNECT_SECONDS, REQUEST_SECONDS)
    return _filesystem(endpoint(), _region(), limits, *map(os.environ.get, _CREDENTIALS)), path


def endpoint() -> str | None:
    """The address of the store; None for Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL") or None


def _path(uri: str) -> str:
    path = uri.removeprefix(SCHEME).strip("/")
    if not path:
        raise LooplineError(f"{uri} names no bucket; write s3://bucket/key")
    if any(part in {"", ".", ".."} for part in path.split("/")):
        raise LooplineError(f"{uri} has an empty or relative part; write s3://bucket/key")
    return path


def _region() -> str | None:
    """The region; a store of one's own has none, and takes any."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or ("us-east-1" if endpoint() else None)


def _profile_files() -> bool:
    files = [os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), "~/.aws/config"]
    return any(Path(file).expanduser().is_file() for file in files)


def _expect_credentials(uri: str) -> None:
    """Fail early where the client would ask a cloud's metadata service, which a store of one's own does not have.

    Raises:
        LooplineError: there are no credentials, or half of a pair.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID") and not os.environ.get("AWS_SECRET_ACCESS_KEY"):
        raise LooplineError(f"AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not, so {uri} cannot be used")
    if endpoint() and not any(map(os.environ.get, _CREDENTIALS)) and not _profile_files():
        raise LooplineError(
            f"there are no credentials for {uri}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(in a pod they come from the Secret loopline-s3)"
        )


# Connecting takes longer than most requests. Credentials are arguments so that a change of them is noticed.
@cache
def _client(
    bucket: str, endpoint: str | None, region: str | None, limits: tuple[float, float], *_: str | None
) -> S3Store:
    connect, read = (timedelta(seconds=seconds) for seconds in limits)
    return S3Store(
        bucket,
        config={
            **({"endpoint": endpoint, "virtual_hosted_style_request": False} if endpoint else {}),
            **({"region": region} if region else {}),
        },
        client_options={
            "allow_http": (endpoint or "").startswith("http://"),
            "connect_timeout": connect,
            "read_timeout": read,
            "timeout": timedelta(seconds=OBJECT_SECONDS),
        },
        retry_config={"max_retries": ATTEMPTS - 1},
        credential_provider=_profile(),
    )


@cache
def _filesystem(
    endpoint: str | None, region: str | None, limits: tuple[float, float], *_: str | None
) -> pafs.FileSystem:
    return pafs.S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        connect_timeout=limits[0],
        request_timeout=limits[1],
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        allow_delayed_open=True,  # a small object is one request
    )


def _profile() -> "Callable[[], S3Credential] | None":
    """Credentials of a profile (``AWS_PROFILE``, ``~/.aws``), which obstore reads through boto3 only.

    Raises:
        LooplineError: the profile gives none, or boto3 is not installed, as in an image.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID") or not (os.environ.get("AWS_PROFILE") or _profile_files()):
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415

        return Boto3CredentialProvider()
    except Exception as error:  # boto3 is not there, or says in classes of its own what it misses
        raise LooplineError(
            f"the AWS profile gives no credentials ({error}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
