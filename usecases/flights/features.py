"""Feature views of the flights use case, and the SQL that writes their history.

A row of history holds the values that are known from ``event_timestamp`` on. Delays are averages over the last hours,
of the flights that had left, or had landed, by then.
"""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

OWNER = "flights@example.com"

origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING, description="airport of departure")
destination = Entity(name="dest", join_keys=["dest"], value_type=ValueType.STRING, description="airport of arrival")
carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING, description="airline")
tail = Entity(name="tailnum", join_keys=["tailnum"], value_type=ValueType.STRING, description="aircraft")


def view(name: str, entity: Entity, ttl: timedelta, description: str, **features: object) -> FeatureView:
    """A feature view over the history file of the same name."""
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=ttl,
        schema=[Field(name=feature, dtype=dtype) for feature, dtype in features.items()],
        source=FileSource(name=f"{name}_history", path=f"{name}.parquet", timestamp_field="event_timestamp"),
        description=description,
        owner=OWNER,
    )


origin_departures = view(
    "origin_departures",
    origin,
    timedelta(hours=3),
    "Departure delays at the airport, in minutes, over the last hours",
    origin_delay_1h=Float64,
    origin_delay_3h=Float64,
    origin_late_share_3h=Float64,
    origin_departures_1h=Int64,
)
origin_arrivals = view(
    "origin_arrivals",
    origin,
    timedelta(hours=3),
    "Arrival delays of flights that had left the airport and have landed, over the last hours",
    origin_arrival_delay_3h=Float64,
    origin_arrival_late_share_3h=Float64,
)
destination_arrivals = view(
    "destination_arrivals",
    destination,
    timedelta(hours=24),
    "Arrival delays at the destination of flights from New York",
    destination_delay_3h=Float64,
    destination_late_share_24h=Float64,
)
carrier_departures = view(
    "carrier_departures",
    carrier,
    timedelta(hours=3),
    "Departure delays of the airline, in minutes, over the last hours",
    carrier_delay_1h=Float64,
    carrier_delay_3h=Float64,
)
carrier_arrivals = view(
    "carrier_arrivals",
    carrier,
    timedelta(hours=24),
    "Arrival delays of the airline over the last hours",
    carrier_arrival_delay_3h=Float64,
    carrier_late_share_24h=Float64,
)
weather = view(
    "weather",
    origin,
    timedelta(hours=6),
    "The last hourly weather report at the airport",
    temp=Float64,
    dewp=Float64,
    humid=Float64,
    wind_dir=Float64,
    wind_speed=Float64,
    wind_gust=Float64,
    precip=Float64,
    pressure=Float64,
    visib=Float64,
)
plane = view("plane", tail, timedelta(0), "Year and seats of the aircraft", plane_year=Int64, seats=Int64)


def rolling(key: str, known_at: str, delay: str, **columns: str) -> str:
    """SQL for aggregates over the last hours, a row for each time at which a value became known.

    Rows that became known in the same minute aggregate each other, so one of them is kept.
    """
    hours = sorted({int(column.rsplit("_", 1)[1].removesuffix("h")) for column in columns})
    windows = ", ".join(
        f"last_{h}h as (partition by {key} order by {known_at} "
        f"range between interval {h} hours preceding and current row)"
        for h in hours
    )
    values = ", ".join(f"{sql} over last_{column.rsplit('_', 1)[1]} as {column}" for column, sql in columns.items())
    return f"""
        select distinct on ({key}, {known_at}) {key}, {known_at} as event_timestamp, {values}
        from flights where {known_at} is not null and {delay} is not null
        window {windows}
    """


HISTORY = {
    "origin_departures": rolling(
        "origin",
        "departed_at",
        "departure_delay",
        origin_delay_1h="avg(departure_delay)",
        origin_delay_3h="avg(departure_delay)",
        origin_late_share_3h="avg(cast(departure_delay > 15 as integer))",
        origin_departures_1h="count(*)",
    ),
    "origin_arrivals": rolling(
        "origin",
        "arrived_at",
        "arrival_delay",
        origin_arrival_delay_3h="avg(arrival_delay)",
        origin_arrival_late_share_3h="avg(late)",
    ),
    "destination_arrivals": rolling(
        "dest",
        "arrived_at",
        "arrival_delay",
        destination_delay_3h="avg(arrival_delay)",
        destination_late_share_24h="avg(late)",
    ),
    "carrier_departures": rolling(
        "carrier",
        "departed_at",
        "departure_delay",
        carrier_delay_1h="avg(departure_delay)",
        carrier_delay_3h="avg(departure_delay)",
    ),
    "carrier_arrivals": rolling(
        "carrier",
        "arrived_at",
        "arrival_delay",
        carrier_arrival_delay_3h="avg(arrival_delay)",
        carrier_late_share_24h="avg(late)",
    ),
    "weather": """
        select origin, observed_at as event_timestamp, temp, dewp, humid, wind_dir, wind_speed, wind_gust,
            precip, pressure, visib
        from weather
    """,
    "plane": """
        select tailnum, timestamptz '2000-01-01 00:00:00+00' as event_timestamp, year as plane_year, seats
        from planes
    """,
}
