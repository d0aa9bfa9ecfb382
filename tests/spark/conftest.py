"""One Spark session for all these tests; without Java or PySpark they are skipped and say so."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.spark.session import lacking, start


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    if reason := lacking():
        pytest.skip(reason)
    session = start()
    yield session
    session.stop()
