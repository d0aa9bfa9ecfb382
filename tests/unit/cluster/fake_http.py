"""A fake of any HTTP API that is only read: responses by path."""

from typing import TYPE_CHECKING, Any

from tests.loopback_server import LoopbackServer, Request

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeHttp(LoopbackServer):
    """A server that is asked with GET alone.

    Attributes:
        answers: what becomes JSON, or a status, that and headers, by path with its query.
        missing: what is answered at any other path.
        refuse: given the headers of a request, a status that is answered instead; 0 for none.
        requests: paths that were asked for.
    """

    missing: tuple[int, Any] = (404, {"message": "not found"})

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.refuse: Callable[[Any], int] = lambda headers: 0
        self.requests: list[str] = []
        super().__init__()

    def answer(self, request: Request) -> tuple[Any, ...]:
        self.requests.append(request.url)
        found = self.answers.get(request.url, self.missing)
        status, *content = found if isinstance(found, tuple) else (200, found)
        return self.refuse(request.headers) or status, *content
