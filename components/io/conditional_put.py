"""Replacing an object only if it is still the one that was read: optimistic locking by ETag.

Several writers may try; one of them succeeds, the others read again. No change is lost, and none is seen half done.
"""

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from loopline.components.io.object_store import open_bucket
from loopline.components.io.object_store_errors import explained, is_missing_bucket


def read(uri: str) -> tuple[bytes, str] | None:
    """The content and the ETag of an object; None if there is no object.

    Raises:
        LooplineError: the store cannot be read.
    """
    bucket, key = open_bucket(uri)
    with explained(uri):
        try:
            found = obstore.get(bucket, key)
            return bytes(found.bytes()), str(found.meta["e_tag"])
        except FileNotFoundError as error:
            if is_missing_bucket(error):
                raise
            return None


def replace(uri: str, content: bytes, etag: str | None) -> str | None:
    """Replace an object if it is still as it was read.

    Args:
        uri: the object.
        content: its new content.
        etag: of the content that was read; None if there was no object.

    Returns:
        The ETag of the new content; None if another writer was first.

    Raises:
        LooplineError: the store cannot be written. The object may or may not have been replaced.
    """
    bucket, key = open_bucket(uri)
    with explained(uri):
        try:
            written = obstore.put(bucket, key, content, mode={"e_tag": etag} if etag else "create")
        except (AlreadyExistsError, PreconditionError):
            return None
    return str(written["e_tag"])
