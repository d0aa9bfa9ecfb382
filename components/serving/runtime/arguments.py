"""What the service is started with; names are KServe's where its own server has the argument."""

import argparse
from collections.abc import Sequence

LOOPBACK = "127.0.0.1"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m loopline.components.serving.service",
        description="The transformer: looks up stored features, asks the predictor, answers, keeps the prediction log.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    what = parser.add_argument_group("what is served")
    what.add_argument("--usecase", required=True, help="package of the use case")
    what.add_argument("--model_name", help="has to be the use case's name, which is what is served")
    what.add_argument("--model_version", required=True, help="of the model, in the registry")
    what.add_argument("--store", help="the feature repository: a folder, or s3:// with LOOPLINE_ONLINE_STORE set")
    what.add_argument("--log", help="where the prediction log goes: a folder or s3://; nowhere if left out")
    what.add_argument("--log_interval_seconds", type=_positive, default=5, help="from one file of it to the next")

    predictor = parser.add_argument_group("the predictor")
    predictor.add_argument("--predictor_host", required=True, help="host or host:port")
    predictor.add_argument("--predictor_protocol", default="v2", choices=["v2"], help="V2 over HTTP")
    predictor.add_argument("--predictor_request_timeout_seconds", type=_positive, default=2, help="its deadline")

    server = parser.add_argument_group("the server")
    server.add_argument("--host", default=LOOPBACK, help="address to listen at; 0.0.0.0 in a pod")
    server.add_argument("--http_port", type=_port, default=8080)
    server.add_argument("--grpc_port", type=_port, default=8081)
    server.add_argument("--access_log", action="store_true", help="a line for each request")
    server.add_argument("--drain_seconds", type=_not_negative, default=5, help="after SIGTERM: unready, yet answering")
    server.add_argument("--grace_seconds", type=_positive, default=30, help="then, for what still runs")

    limits = parser.add_argument_group("limits")
    limits.add_argument("--max_body_bytes", type=_count, default=2 << 20)
    limits.add_argument("--max_in_flight", type=_count, default=64, help="requests answered at a time")
    limits.add_argument("--max_waiting", type=_none_or_more, default=256, help="requests that wait for that; then 503")
    limits.add_argument("--max_waiting_seconds", type=_positive, default=1)
    limits.add_argument("--cache_rows", type=_none_or_more, default=10_000, help="scores that are kept; 0 for none")
    limits.add_argument("--cache_seconds", type=_positive, default=60)
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    if (value := float(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _not_negative(text: str) -> float:
    if (value := float(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def _none_or_more(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _port(text: str) -> int:
    if not 1 <= (value := int(text)) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 65535")
    return value
