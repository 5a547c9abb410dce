"""What the plant is made of: sizes, coefficients and time constants, nominal as engineered and as one seed happens to have built them."""

import random
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Nominal values; `draw` moves each by its own spread (relative, uniform)."""

    area1: float = 0.25  # m^2
    area2: float = 0.25
    p101_flow: float = 2.0  # L/s at half speed against 1.2 m
    p101_shutoff: float = 60.0  # m at full speed
    p101_lag: float = 1.5  # s
    p101_wear_per_h: float = 0.005
    c12: float = 3.162  # L/s per sqrt(m)
    c12_inertia_s: float = 0.5  # at 2 L/s
    fv102: float = 4.0  # L/s at full opening and 1 m of head
    fv102_bend: float = 0.06  # quick-opening share of the characteristic
    p102_suction: float = 0.5  # m
    p102_lag: float = 0.7
    fv102_stroke: float = 8.0  # s
    stem_friction: float = 0.003  # dead band of the stem, of full travel
    h201_power: float = 30_000.0  # W
    h201_capacity: float = 5_000.0  # J/K
    h201_still: float = 40.0  # W/K
    h201_flowing: float = 800.0
    h201_drift: float = 1.5e-4  # loss of power per K above 80 degC
    t201_capacity: float = 84_000.0
    t201_loss: float = 400.0  # W/K
    ambient: float = 20.0
    load_swing: float = 0.02  # slow cycle of the consumer
    load_period: float = 240.0  # s
    p201_flow: float = 1.0
    p201_lag: float = 1.0
    sp301_lag: float = 2.0
    sp301_ramp: float = 2_500.0  # rpm/s that the drive can give
    b301_friction: float = 432.0  # W at 6000 rpm and 45 degC
    b301_load_share: float = 0.08
    b301_thinning: float = 0.003  # 1/K
    b301_capacity: float = 2_000.0
    b301_still: float = 4.0
    b301_per_flow: float = 15.0  # W/K at 5 L/min
    cl301_flow: float = 10.0  # L/min
    cl301_stroke: float = 4.0
    cl301_supply: float = 22.0
    cl301_capacity: float = 40_000.0
    cl301_chiller: float = 120.0


_SPREAD = {
    "area1": 0.02, "area2": 0.02, "p101_flow": 0.03, "p101_shutoff": 0.1, "p101_lag": 0.1, "p101_wear_per_h": 0.5, "c12": 0.03,
    "c12_inertia_s": 0.1, "fv102": 0.03, "fv102_bend": 0.3, "p102_suction": 0.03, "p102_lag": 0.1, "fv102_stroke": 0.05,
    "stem_friction": 0.2, "h201_power": 0.02, "h201_capacity": 0.05, "h201_still": 0.1, "h201_flowing": 0.03, "h201_drift": 0.3,
    "t201_capacity": 0.02, "t201_loss": 0.03, "ambient": 0.02, "load_swing": 0.3, "load_period": 0.2, "p201_flow": 0.02,
    "p201_lag": 0.1, "sp301_lag": 0.05, "b301_friction": 0.03, "b301_load_share": 0.3, "b301_thinning": 0.3, "b301_capacity": 0.04,
    "b301_still": 0.1, "b301_per_flow": 0.03, "cl301_flow": 0.02, "cl301_stroke": 0.05, "cl301_supply": 0.01, "cl301_capacity": 0.05,
    "cl301_chiller": 0.03,
}  # fmt: skip


def draw(chance: random.Random) -> Parameters:
    nominal = Parameters()
    moved = {f.name: getattr(nominal, f.name) * (1 + chance.uniform(-1, 1) * _SPREAD.get(f.name, 0.0)) for f in fields(nominal)}
    return Parameters(**moved)
