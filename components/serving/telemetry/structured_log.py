"""The service's own log: one JSON object per line, on standard error."""

import json
import logging
from datetime import UTC, datetime

# Attributes of every record; any others were given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """A record as a line of JSON: time, level, logger, message, the fields in ``extra``, and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """See the class."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    """Log in this form everything from Loopline, and warnings of other libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("loopline").setLevel(logging.INFO)
