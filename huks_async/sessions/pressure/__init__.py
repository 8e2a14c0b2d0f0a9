"""Memory pressure: sensors, and the choice among them."""

from huks_async.sessions.pressure.base import (
    PressureEvent,
    PressureThresholds,
    Sensor,
    SensorBroken,
    SensorState,
    SensorStatus,
    SensorUnavailable,
    SilentSensor,
)
from huks_async.sessions.pressure.choose import choose_sensor, open_sensor

__all__ = [
    "PressureEvent",
    "PressureThresholds",
    "Sensor",
    "SensorBroken",
    "SensorState",
    "SensorStatus",
    "SensorUnavailable",
    "SilentSensor",
    "choose_sensor",
    "open_sensor",
]
