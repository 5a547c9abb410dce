"""How a feature of a sensor's spectrum is called among readings: "VT301~4 kHz".  No tag of a plant file has such a name."""

import numpy as np

from sentinel.model.observation import Readings

MARK = "~"


def feature_tag(sensor: str, feature: str) -> str:
    return f"{sensor}{MARK}{feature}"


def is_feature(tag: str) -> bool:
    return MARK in tag


def sensor_and_feature(tag: str) -> tuple[str, str]:
    sensor, _, feature = tag.partition(MARK)
    return sensor, feature


def measured(readings: Readings) -> Readings:
    """Without the features of spectra."""
    features = [code for code, name in enumerate(readings.names) if is_feature(name)]
    return readings.take(~np.isin(readings.tag, features)) if features else readings
