"""The transformer process: looks up features, calls the predictor, responds, and keeps the prediction log.

One process serves one version of the model, so that the log has the version of a request that failed. It serves
KServe's protocols: V1 and V2 over HTTP, and V2 over gRPC. KServe's own server is not used for HTTP: it responds to bad
input with 500, has no limits or deadlines, counts no errors, and listens on every address.
"""

import asyncio
import contextlib
import gc
import logging
import os
import re
import signal
import socket
import sys
import time
from argparse import Namespace
from collections.abc import Iterator

import uvicorn
import uvloop

from loopline.components.contract import prediction_log_files, usecase
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.serving.features.lookup import OnlineStore
from loopline.components.serving.predictor.client import Predictor
from loopline.components.serving.predictor.score_cache import ScoreCache
from loopline.components.serving.runtime import imports
from loopline.components.serving.runtime.application import Application
from loopline.components.serving.runtime.arguments import parse
from loopline.components.serving.runtime.handler import Handler
from loopline.components.serving.runtime.limits import ConcurrencyLimit
from loopline.components.serving.runtime.served_model import ServedModel
from loopline.components.serving.telemetry import structured_log
from loopline.components.serving.telemetry.metrics import Metrics
from loopline.components.serving.telemetry.prediction_log import PredictionLog

# Time to write the rest of the prediction log at shutdown.
LOG_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 65  # longer than gateways keep idle connections
logger = logging.getLogger("loopline.components.serving.service")  # not __main__


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: they stop listening at once, while a gateway still sends requests."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def main() -> None:
    """Serve until SIGTERM; exit with code 1 and one line if it cannot start."""
    structured_log.configure()
    imports.skip_unused()
    try:
        uvloop.run(serve(parse()))
    except LooplineError as error:
        logger.critical(str(error))
        sys.exit(1)


async def serve(options: Namespace) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        LooplineError: an argument is wrong, or a port is in use.
    """
    case = _case(options)
    metrics = Metrics(case.spec.name, options.model_version, probabilities=case.spec.task == "binary_classification")
    predictor = Predictor(options.predictor_host, case.spec.name, options.predictor_request_timeout_seconds)
    cache = ScoreCache(options.cache_rows, options.cache_seconds)
    model = ServedModel(case.spec, options.model_version, predictor, _store(case, options), cache, metrics)
    limit = ConcurrencyLimit(options.max_in_flight, options.max_waiting, options.max_waiting_seconds)
    log = _log(case, options)
    handler = Handler(model, limit, metrics, log, access_log=options.access_log)
    application = Application(handler, metrics, options.max_body_bytes)
    _export(metrics, limit, cache, log)
    await _run(application, handler, options)
    predictor.close()
    if log:
        log.close(LOG_SECONDS)


async def _run(application: Application, handler: Handler, options: Namespace) -> None:
    """Listen until a signal arrives, then drain.

    While draining, the service is not ready, so that a gateway sends its requests elsewhere; those that still arrive
    are answered, and their connections closed. Then it stops listening and finishes the requests in flight.
    """
    with _hidden_arguments():
        from loopline.components.serving.runtime.grpc_service import create_server  # noqa: PLC0415 - takes seconds

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    grpc_address = f"{options.host}:{options.grpc_port}"
    listener = _listen(options.host, options.http_port)
    grpc_server = create_server(handler, lambda: application.draining, grpc_address, options.max_body_bytes)
    http_server = HttpServer(
        uvicorn.Config(
            application,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(options.grace_seconds),
        )
    )
    # These objects live until the end: a garbage collection that visited them all would delay requests.
    gc.collect()
    gc.freeze()
    await grpc_server.start()
    serving = asyncio.create_task(http_server.serve(sockets=[listener]))
    logger.info("listening", extra={"http": f"{options.host}:{options.http_port}", "grpc": grpc_address})
    await stop.wait()
    logger.info("draining", extra={"seconds": options.drain_seconds})
    application.draining = True
    await asyncio.sleep(options.drain_seconds)
    http_server.should_exit = True
    await asyncio.gather(serving, grpc_server.stop(options.grace_seconds))
    logger.info("ended")


@contextlib.contextmanager
def _hidden_arguments() -> Iterator[None]:
    """Hide the command line from kserve, which parses it when it is imported."""
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = arguments


def _case(options: Namespace) -> UseCase:
    case = usecase.load(options.usecase)
    if options.model_name not in {None, case.spec.name}:
        raise LooplineError(f"--model_name is {options.model_name}, but {options.usecase} is named {case.spec.name}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", options.model_version):
        raise LooplineError(f"--model_version '{options.model_version}' is not a version number; use for example 3")
    return case


def _store(case: UseCase, options: Namespace) -> OnlineStore | None:
    if not case.spec.features.stored:
        return None
    if not options.store:
        raise LooplineError(f"{case.package} has stored features: add --store with its feature repository")
    from loopline.components.serving.features.online_store import FeastOnlineStore  # noqa: PLC0415 - takes seconds

    return FeastOnlineStore(case.spec.name, options.store)


def _log(case: UseCase, options: Namespace) -> PredictionLog | None:
    if not options.log:
        return None
    schema = prediction_log_files.schema(case.spec)
    writer = f"v{options.model_version}-{socket.gethostname()}-{os.getpid()}-{time.time_ns():x}"
    return PredictionLog(options.log, schema, writer, options.log_interval_seconds)


def _export(metrics: Metrics, limit: ConcurrencyLimit, cache: ScoreCache, log: PredictionLog | None) -> None:
    """Export the numbers that other objects keep."""
    metrics.export("in_flight", "Requests in flight", lambda: limit.in_flight)
    metrics.export("queued", "Requests that wait for a slot", lambda: limit.waiting)
    metrics.export("cache_rows", "Scores in the cache", lambda: len(cache))
    if log:
        metrics.export("log_rows_written", "Rows in files of the prediction log", lambda: log.written, counter=True)
        metrics.export("log_rows_dropped", "Rows that the prediction log lost", lambda: log.dropped, counter=True)
        metrics.export("log_rows_waiting", "Rows that are not written yet", lambda: log.queued)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise LooplineError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    return listener


if __name__ == "__main__":
    main()
