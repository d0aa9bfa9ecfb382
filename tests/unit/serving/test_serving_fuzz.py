"""The service against its own OpenAPI document: whatever is sent, the answer is one that it names, never 500."""

from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from service_process import Process

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
TIMES = st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
schemathesis.openapi.format("date-time", TIMES.map(datetime.isoformat))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
def test_every_response_is_in_the_openapi_document(service: Process, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_url(f"{service.address}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/v1/models/trams:predict", "/v2/models/trams/infer"}
    for operation in operations:
        if mode == GenerationMode.POSITIVE or operation.method == "post":  # what is only read cannot be asked wrongly
            fuzz(operation, mode, service.address)


def fuzz(operation: Any, mode: GenerationMode, address: str) -> None:
    # What a JSON schema cannot say, that a tensor's content fits its shape, makes some V2 bodies wrong that it allows.
    says_all = "/v1/" in operation.path
    checks = [*CHECKS, positive_data_acceptance] if says_all else CHECKS

    refused = mode == GenerationMode.NEGATIVE

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=60 if operation.method == "post" else 2, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def answered(case: schemathesis.Case) -> None:
        response = case.call(base_url=address, timeout=30)
        case.validate_response(response, checks=checks)
        if refused:
            assert 400 <= response.status_code < 500, response.request.body

    answered()
