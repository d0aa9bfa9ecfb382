"""The transformer process: it looks up features, asks its predictor, answers, and keeps the prediction log.

One process stands in front of one version of the model, so that the log knows the version of a request that failed.
It speaks KServe's protocols, V1 and V2 over HTTP and V2 over gRPC. KServe's own server is not used for HTTP: it answers
bad input with 500, has no limits or deadlines, counts no errors, and listens at every address.
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
from loopline.components.serving.predictor.client import Predictor
from loopline.components.serving.predictor.score_cache import Cache
from loopline.components.serving.runtime import imports
from loopline.components.serving.runtime.application import Application
from loopline.components.serving.runtime.arguments import parse
from loopline.components.serving.runtime.handler import Handler
from loopline.components.serving.runtime.limits import Admission
from loopline.components.serving.runtime.served_model import OnlineStore, ServedModel
from loopline.components.serving.telemetry import structured_log
from loopline.components.serving.telemetry.metrics import Metrics
from loopline.components.serving.telemetry.prediction_log import PredictionLog

# Longest time to write the rest of the prediction log at the end.
LOG_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 65  # longer than gateways keep idle connections
logger = logging.getLogger("loopline.components.serving.service")  # not __main__


class HttpServer(uvicorn.Server):
    """uvicorn, which leaves the signals to us: it would stop listening at once, while a gateway still sends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def main() -> None:
    """Serve until SIGTERM; exit non-zero with one sentence if it cannot be done."""
    structured_log.configure()
    imports.lighten()
    try:
        uvloop.run(serve(parse()))
    except LooplineError as error:
        logger.critical(str(error))
        sys.exit(1)


async def serve(options: Namespace) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        LooplineError: something that it was started with is wrong, or a port is taken.
    """
    case = _case(options)
    metrics = Metrics(case.spec.name, options.model_version, probabilities=case.spec.task == "binary_classification")
    predictor = Predictor(options.predictor_host, case.spec.name, options.predictor_request_timeout_seconds)
    cache = Cache(options.cache_rows, options.cache_seconds)
    model = ServedModel(case.spec, options.model_version, predictor, _store(case, options), cache, metrics)
    admission = Admission(options.max_in_flight, options.max_waiting, options.max_waiting_seconds)
    log = _log(case, options)
    handler = Handler(model, admission, metrics, log, trace=options.access_log)
    application = Application(handler, metrics, options.max_body_bytes)
    _watch(metrics, admission, cache, log)
    await _run(application, handler, options)
    predictor.close()
    if log:
        log.close(LOG_SECONDS)


async def _run(application: Application, handler: Handler, options: Namespace) -> None:
    """Listen, until a signal comes; then drain.

    Draining: readiness says no, so that a gateway sends its requests elsewhere; those that still come are answered,
    each with the end of its connection; then nothing new is taken, and what runs is finished.
    """
    with _no_arguments():
        from loopline.components.serving.runtime.grpc_service import create_server  # noqa: PLC0415 - kserve takes seconds to import

    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
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
    # What is there now stays to the end: a collection that went through all of it would hold requests up.
    gc.collect()
    gc.freeze()
    await grpc_server.start()
    serving = asyncio.create_task(http_server.serve(sockets=[listener]))
    logger.info("listening", extra={"http": f"{options.host}:{options.http_port}", "grpc": grpc_address})
    await ended.wait()
    logger.info("draining", extra={"seconds": options.drain_seconds})
    application.draining = True
    await asyncio.sleep(options.drain_seconds)
    http_server.should_exit = True
    await asyncio.gather(serving, grpc_server.stop(options.grace_seconds))
    logger.info("ended")


@contextlib.contextmanager
def _no_arguments() -> Iterator[None]:
    """Hide the command line: kserve reads it when it is imported, and takes ours for its own."""
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = arguments


def _case(options: Namespace) -> UseCase:
    case = usecase.load(options.usecase)
    if options.model_name not in {None, case.spec.name}:
        raise LooplineError(f"--model_name is {options.model_name}, and {options.usecase} is named {case.spec.name}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", options.model_version):
        raise LooplineError(f"--model_version '{options.model_version}' is no version; give for example 3")
    return case


def _store(case: UseCase, options: Namespace) -> OnlineStore | None:
    if not case.spec.features.stored:
        return None
    if not options.store:
        raise LooplineError(f"{case.package} has stored features: give --store, the feature repository that has them")
    from loopline.components.serving.features.online_store import Online  # noqa: PLC0415 - Feast takes seconds to import

    return Online(case.spec.name, options.store)


def _log(case: UseCase, options: Namespace) -> PredictionLog | None:
    if not options.log:
        return None
    schema = prediction_log_files.schema(case.spec)
    writer = f"v{options.model_version}-{socket.gethostname()}-{os.getpid()}-{time.time_ns():x}"
    return PredictionLog(options.log, schema, writer, options.log_interval_seconds)


def _watch(metrics: Metrics, admission: Admission, cache: Cache, log: PredictionLog | None) -> None:
    """Show the numbers that others keep."""
    metrics.watch("in_flight", "Requests that are being answered", lambda: admission.inside)
    metrics.watch("queued", "Requests that wait for their turn", lambda: admission.waiting)
    metrics.watch("cache_rows", "Scores in the cache", lambda: len(cache))
    if log:
        metrics.watch("log_rows_written", "Rows in files of the prediction log", lambda: log.written, grows=True)
        metrics.watch("log_rows_dropped", "Rows that the prediction log lost", lambda: log.dropped, grows=True)
        metrics.watch("log_rows_waiting", "Rows that wait to be written", lambda: log.waiting)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise LooplineError(f"cannot listen at {host}:{port}: {error.strerror}; choose another port") from error
    return listener


if __name__ == "__main__":
    main()
