"""Command-line arguments of the service; named as KServe's own server names them, where it has them."""

import argparse
from collections.abc import Sequence


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m loopline.components.serving.service",
        description="The transformer: looks up features, calls the predictor, responds, keeps the prediction log.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    model = parser.add_argument_group("model")
    model.add_argument("--usecase", required=True, help="package of the use case")
    model.add_argument("--model_name", help="the name of the use case, if given")
    model.add_argument("--model_version", required=True, help="version in the registry")
    model.add_argument("--store", help="the feature repository: a folder, or s3:// with LOOPLINE_ONLINE_STORE set")
    model.add_argument("--log", help="the prediction log: a folder or s3://; none by default")
    model.add_argument("--log_interval_seconds", type=_positive, default=5, help="interval between its files")

    predictor = parser.add_argument_group("predictor")
    predictor.add_argument("--predictor_host", required=True, help="host or host:port")
    predictor.add_argument("--predictor_protocol", default="v2", choices=["v2"], help="V2 over HTTP")
    predictor.add_argument("--predictor_request_timeout_seconds", type=_positive, default=2, help="deadline of a call")

    server = parser.add_argument_group("server")
    server.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a pod")
    server.add_argument("--http_port", type=_port, default=8080)
    server.add_argument("--grpc_port", type=_port, default=8081)
    server.add_argument("--access_log", action="store_true", help="log a line for each request")
    server.add_argument(
        "--drain_seconds", type=_not_negative, default=5, help="after SIGTERM, not ready but responding"
    )
    server.add_argument("--grace_seconds", type=_positive, default=30, help="then, for requests in flight")

    limits = parser.add_argument_group("limits")
    limits.add_argument("--max_body_bytes", type=_positive_int, default=2 << 20)
    limits.add_argument("--max_in_flight", type=_positive_int, default=64, help="concurrent requests")
    limits.add_argument("--max_waiting", type=_not_negative_int, default=256, help="requests in the queue; then 503")
    limits.add_argument("--max_waiting_seconds", type=_positive, default=1)
    limits.add_argument("--cache_rows", type=_not_negative_int, default=10_000, help="cached scores; 0 for none")
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


def _positive_int(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def _not_negative_int(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _port(text: str) -> int:
    if not 1 <= (value := int(text)) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 65535")
    return value
