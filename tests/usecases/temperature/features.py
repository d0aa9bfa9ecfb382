"""The last reading, and the day's mean."""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

station = Entity(name="station", join_keys=["station"], value_type=ValueType.STRING)

last_reading = FeatureView(
    name="last_reading",
    entities=[station],
    ttl=timedelta(hours=12),
    schema=[
        Field(name=name, dtype=Float64)
        for name in ("last_temp", "last_dewp", "last_pressure", "last_wind", "mean_temp_24h")
    ],
    source=FileSource(name="last_reading_history", path="last_reading.parquet", timestamp_field="event_timestamp"),
)

HISTORY = {
    "last_reading": """
        select station, read_at as event_timestamp, temp as last_temp, dewp as last_dewp, pressure as last_pressure,
            wind_speed as last_wind, avg(temp) over day as mean_temp_24h
        from readings
        window day as (partition by station order by read_at
                       range between interval 24 hours preceding and current row)
    """,
}
