"""A small object that several writers may want to replace, and one at a time does.

Object stores offer a condition on a PUT: only if the object is still the one that was read. Whoever is refused reads
again; no change is lost and none is seen in halves.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from loopline.components.io import object_store

_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}


def read(uri: str) -> tuple[bytes, str] | None:
    """The content of the object and the tag of that content; None if there is no object.

    Raises:
        LooplineError: the store cannot be read.
    """
    with _client(uri) as (client, place):
        try:
            answer = client.get_object(**place)
        except client.exceptions.NoSuchKey:
            return None
        return answer["Body"].read(), answer["ETag"]


def replace(uri: str, content: bytes, tag: str | None) -> bool:
    """Replace the object if it is still as it was read.

    Args:
        uri: where it is.
        content: what it shall be.
        tag: of the content that was read; None if there was no object.

    Returns:
        Whether it was replaced. False: somebody else did so in between.

    Raises:
        LooplineError: the store cannot be written. The object may or may not have been replaced.
    """
    condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
    with _client(uri) as (client, place):
        try:
            client.put_object(**place, Body=content, **condition)
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in _CHANGED:
                return False
            raise
    return True


@contextmanager
def _client(uri: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """A client of the store, and the bucket and key of a URI as its arguments."""
    import botocore.exceptions  # noqa: PLC0415 - not in every image

    object_store.expect_credentials(uri)
    bucket, _, key = uri.removeprefix(object_store.SCHEME).partition("/")
    with object_store.explained(uri):
        try:
            yield _made_client(object_store.endpoint(), object_store.region()), {"Bucket": bucket, "Key": key}
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise OSError(str(error)) from error


@cache
def _made_client(endpoint: str | None, region: str | None) -> Any:
    """Arrow has no conditions, so this is botocore: it is in the images that have something to point at."""
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    settings = Config(
        connect_timeout=object_store.CONNECT_SECONDS,
        read_timeout=object_store.REQUEST_SECONDS,
        retries={"total_max_attempts": object_store.ATTEMPTS},
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    session = botocore.session.get_session()
    return session.create_client("s3", region_name=region, endpoint_url=endpoint, config=settings)
