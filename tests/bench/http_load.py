"""A load generator for an HTTP server, in a process of its own: JSON in, JSON out."""

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np

# A few of the flights are shorter than usecase.yaml allows.
REFUSED = 400


class Background:
    """A process that sends requests until all have a response.

    Args:
        port: on loopback. ``path``: of the requests.
        bodies: of the requests, each sent once.
        how: ``connections`` and ``rate`` of `send`.
    """

    def __init__(self, port: int, path: str, bodies: list[str], **how: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.http_load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"port": port, "path": path, "bodies": bodies, **how}))
        self._process.stdin.close()
        self._process.stdin = None

    def end(self) -> dict[str, Any]:
        """Wait for the end; return what `send` returns."""
        output, _ = self._process.communicate(timeout=600)
        assert self._process.returncode == 0, output
        found: dict[str, Any] = json.loads(output)
        return found


async def send(
    port: int, path: str, bodies: list[str], connections: int = 4, rate: float | None = None
) -> dict[str, Any]:
    """Send requests over some connections, one after the other on each.

    Args:
        port: on loopback.
        path: of the requests.
        bodies: of the requests, each sent once.
        connections: open at the same time.
        rate: requests per second, whether or not earlier ones have their response: latency counts from the time a
            request is due. None sends as fast as responses arrive.

    Returns:
        p50_ms, p99_ms, per_second; refused: responses 400; failed: other errors, and the first of them.
    """
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: "
    messages = iter(enumerate(f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in bodies))
    times, failures, refused = [], [], 0
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    began = time.perf_counter()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        for number, message in messages:
            due = time.perf_counter()
            if rate:
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(message)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            times.append(time.perf_counter() - due)
            status = int(answer.split(b" ", 2)[1])
            refused += status == REFUSED
            if status not in {200, REFUSED}:
                failures.append((answer + body).decode())
        writer.close()

    await asyncio.gather(*(connection(*streams) for streams in opened))
    p50, p99 = np.percentile(times, [50, 99])
    seconds = time.perf_counter() - began
    return {
        "p50_ms": 1e3 * p50,
        "p99_ms": 1e3 * p99,
        "per_second": len(times) / seconds,
        "refused": refused,
        "failed": len(failures),
        "failure": failures[0] if failures else "",
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send(**json.loads(sys.stdin.read())))))
