"""Asks an HTTP server and takes the times, in a process of its own: JSON in, JSON out."""

import asyncio
import json
import sys
import time
from itertools import cycle
from typing import Any

import numpy as np


async def ask(
    port: int, path: str, bodies: list[str], requests: int, connections: int, rate: float | None = None
) -> dict[str, Any]:
    """Ask over some connections, each one question after the other.

    Args:
        port: on loopback.
        path: where to.
        bodies: what to ask, over and over.
        requests: how many.
        connections: how many are open.
        rate: requests a second that are due, whether or not the ones before were answered in time: a late one has
            waited. None asks as fast as answers come.

    Returns:
        p50_ms, p99_ms, per_second and failed.
    """
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: "
    messages = cycle([f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in bodies])
    numbers, times, failed = iter(range(requests)), [], 0
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    began = time.perf_counter()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal failed
        for number in numbers:
            due = time.perf_counter()
            if rate:
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(next(messages))
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            times.append(time.perf_counter() - due)
            failed += b" 200 " not in answer.partition(b"\r\n")[0]
        writer.close()

    await asyncio.gather(*(connection(*streams) for streams in opened))
    p50, p99 = np.percentile(times, [50, 99])
    seconds = time.perf_counter() - began
    return {"p50_ms": 1e3 * p50, "p99_ms": 1e3 * p99, "per_second": len(times) / seconds, "failed": failed}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(**json.loads(sys.stdin.read())))))
