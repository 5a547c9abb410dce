"""The Tennessee Eastman process as it runs in trials: 50 states, in the units and the form of its publication.

J. J. Downs and E. F. Vogel, "A plant-wide industrial process control problem", Computers & Chemical Engineering 17 (1993) 245-255, and the
program that its authors gave out with it.  Holdups in lb mol, energies in 10^6 Btu, times in h, pressures in mmHg, temperatures in degC.
The twin's components are a second transcription of the same equations, with temperatures for energies and in SI: each checks the other.

In: a state (50,), demanded positions of the 12 valves in %, `Surroundings`.  Out: its derivative per hour (50,), and the 41 measurements
without noise or sampling.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]

# components A B C D E F G H; A, B and C do not condense
MOLAR_MASS = np.array([2.0, 25.4, 28.0, 32.0, 46.0, 48.0, 62.0, 76.0])
ANTOINE = np.array(
    [[15.92, 16.35, 16.35, 16.43, 17.21], [-1444.0, -2114.0, -2114.0, -2748.0, -3318.0], [259.0, 265.5, 265.5, 232.9, 249.6]]
)
DENSITY = np.array(
    [
        [1.0, 1.0, 1.0, 23.3, 33.9, 32.8, 49.9, 50.5],
        [0.0, 0.0, 0.0, -0.0700, -0.0957, -0.0995, -0.0191, -0.0541],
        [0.0, 0.0, 0.0, -0.0002, -0.000152, -0.000233, -0.000425, -0.000150],
    ]
)
LIQUID_HEAT = np.array(
    [
        [1.0e-6, 1.0e-6, 1.0e-6, 0.960e-6, 0.573e-6, 0.652e-6, 0.515e-6, 0.471e-6],
        [0.0, 0.0, 0.0, 8.70e-9, 2.41e-9, 2.18e-9, 5.65e-10, 8.70e-10],
        [0.0, 0.0, 0.0, 4.81e-11, 1.82e-11, 1.94e-11, 3.82e-12, 2.62e-12],
    ]
)
GAS_HEAT = np.array(
    [
        [3.411e-6, 0.3799e-6, 0.2491e-6, 0.3567e-6, 0.3463e-6, 0.3930e-6, 0.170e-6, 0.150e-6],
        [7.18e-10, 1.08e-9, 1.36e-11, 8.51e-10, 8.96e-10, 1.02e-9, 0.0, 0.0],
        [6.0e-13, -3.98e-13, -3.93e-14, -3.12e-13, -3.27e-13, -3.12e-13, 0.0, 0.0],
    ]
)
VAPORISATION = np.array([1.0e-6, 1.0e-6, 1.0e-6, 86.7e-6, 160.0e-6, 160.0e-6, 225.0e-6, 209.0e-6])
GAS_CONSTANT, GAS_CONSTANT_ENERGY, ZERO_CELSIUS, ATMOSPHERE = 998.9, 3.57696e-6, 273.15, 760.0
REACTOR_VOLUME, SEPARATOR_VOLUME, HEADER_VOLUME = 1300.0, 3500.0, 5000.0
JACKET, CONDENSER, WATER_HEAT = 7060.0, 11138.0, 500.53
REACTION_HEAT = (0.06899381054, 0.05)
PUMPED = np.array([400.0, 400.0, 100.0, 1500.0])  # streams 2, 3, 1 and 4 at full opening
UNDERFLOW, PRODUCT, STEAM, REACTOR_WATER, CONDENSER_WATER = 1500.0, 1000.0, 0.03, 1000.0, 1200.0
COMPRESSOR_FLOW, COMPRESSOR_RATIO = 280275.0, 1.3
VALVE_LAG_H = np.array([8.0, 8.0, 6.0, 9.0, 7.0, 5.0, 5.0, 5.0, 120.0, 5.0, 5.0, 5.0]) / 3600.0
STRIPPED = np.array([0.995, 0.991, 0.990])  # A, B, C
STRIPPING = np.array([8.5010, 11.402, 11.795, 0.0480, 0.0242])  # D to H
FEEDS = np.array(
    [
        [0.0, 0.0001, 0.0, 0.9999, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.9999, 0.0001, 0.0, 0.0],
        [0.9999, 0.0001, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)
KSCMH = 0.359 / 35.3145  # of 1 lb mol/h
BASE_CASE = np.array(
    [
        10.40491389, 4.363996017, 7.570059737, 0.4230042431, 24.15513437, 2.942597645, 154.3770655, 159.1865960, 2.808522723,
        63.75581199, 26.74026066, 46.38532432, 0.2464521543, 15.20484404, 1.852266172, 52.44639459, 41.20394008, 0.5699317760,
        0.4306056376, 0.0079906200783, 0.9056036089, 0.016054258216, 0.7509759687, 0.088582855955, 48.27726193, 39.38459028, 0.3755297257,
        107.7562698, 29.77250546, 88.32481135, 23.03929507, 62.85848794, 5.546318688, 11.92244772, 5.555448243, 0.9218489762,
        94.59927549, 77.29698353,
        63.05263039, 53.97970677, 24.64355755, 61.30192144, 22.21, 40.06374673, 38.10034370, 46.53415582, 47.44573456, 41.10581288,
        18.11349055, 50.0,
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What comes in from outside, and how far this plant differs from the published one (factors of 1 = not at all).

    The published step disturbances: IDV(1) ``feed_a`` 0.455; IDV(2) ``feed_b`` 0.01 with ``feed_a`` 0.48256281; IDV(3) ``d_feed_c`` 50;
    IDV(4) ``reactor_water_c`` 40; IDV(5) ``condenser_water_c`` 45; IDV(6) ``a_feed`` 0; IDV(7) ``c_header`` 0.8.
    """

    feed_a: float = 0.485  # share of A in stream 4
    feed_b: float = 0.005
    d_feed_c: float = 45.0
    c_feed_c: float = 45.0
    reactor_water_c: float = 35.0
    condenser_water_c: float = 40.0
    a_feed: float = 1.0
    c_header: float = 1.0
    kinetics: tuple[float, float] = (1.0, 1.0)
    reactor_transfer: float = 1.0
    separator_transfer: float = 1.0
    reactor_outflow: float = 1.0
    valve_gain: Sequence[float] = (1.0,) * 12


NOMINAL = Surroundings()


def derivative(state: F8, demanded: F8, around: Surroundings = NOMINAL) -> tuple[F8, F8]:
    """(per hour, the 41 measurements)."""
    reactor_gas, reactor_liquid, reactor_energy = state[:3], np.r_[0.0, 0.0, 0.0, state[3:8]], state[8]
    separator_gas, separator_liquid, separator_energy = state[9:12], np.r_[0.0, 0.0, 0.0, state[12:17]], state[17]
    stripper, stripper_energy, header, header_energy = state[18:26], state[26], state[27:35], state[35]
    jacket_c, condenser_c, opened = state[36], state[37], state[38:50] * np.asarray(around.valve_gain)

    in_reactor, in_separator = reactor_liquid / reactor_liquid.sum(), separator_liquid / separator_liquid.sum()
    in_stripper, in_header = stripper / stripper.sum(), header / header.sum()
    reactor_c = _temperature(in_reactor, reactor_energy / reactor_liquid.sum(), _liquid)
    separator_c = _temperature(in_separator, separator_energy / separator_liquid.sum(), _liquid)
    stripper_c = _temperature(in_stripper, stripper_energy / stripper.sum(), _liquid)
    header_c = _temperature(in_header, header_energy / header.sum(), _header)
    reactor_full = reactor_liquid.sum() * _molar_volume(in_reactor, reactor_c)
    separator_full = separator_liquid.sum() * _molar_volume(in_separator, separator_c)
    stripper_full = stripper.sum() * _molar_volume(in_stripper, stripper_c)
    in_gas_reactor = _partial_pressures(reactor_gas, in_reactor, reactor_c, REACTOR_VOLUME - reactor_full)
    in_gas_separator = _partial_pressures(separator_gas, in_separator, separator_c, SEPARATOR_VOLUME - separator_full)
    reactor_p, separator_p = in_gas_reactor.sum(), in_gas_separator.sum()
    header_p = header.sum() * GAS_CONSTANT * (header_c + ZERO_CELSIUS) / HEADER_VOLUME
    effluent, overhead = in_gas_reactor / reactor_p, in_gas_separator / separator_p

    made, heat = _reactions(in_gas_reactor, reactor_c, REACTOR_VOLUME - reactor_full, around.kinetics)
    feeds = PUMPED * opened[:4] / 100.0 * np.array([1.0, 1.0, around.a_feed, around.c_header])
    underflow, product = opened[6] * UNDERFLOW / 100.0, opened[7] * PRODUCT / 100.0
    to_reactor = 1937.6 * np.sqrt(max(header_p - reactor_p, 0.0)) / (in_header @ MOLAR_MASS)
    from_reactor = 4574.21 * around.reactor_outflow * np.sqrt(max(reactor_p - separator_p, 0.0)) / (effluent @ MOLAR_MASS)
    purge = opened[5] * 0.151169 * np.sqrt(max(separator_p - ATMOSPHERE, 0.0)) / (overhead @ MOLAR_MASS)
    ratio = min(max(header_p / separator_p, 1.0), COMPRESSOR_RATIO)
    blown = COMPRESSOR_FLOW + COMPRESSOR_FLOW / 1.197 * (1.0 - ratio**3)
    work = blown * (separator_c + ZERO_CELSIUS) * 1.8e-6 * 1.9872 * (header_p - separator_p) / ((overhead @ MOLAR_MASS) * separator_p)
    recycle = max(blown - opened[4] * 53.349 * np.sqrt(max(header_p - separator_p, 0.0)), 1e-3) / (overhead @ MOLAR_MASS)

    c_feed = np.array([around.feed_a, around.feed_b, 1.0 - around.feed_a - around.feed_b, 0.0, 0.0, 0.0, 0.0, 0.0])
    entering = feeds[3] * c_feed + underflow * in_separator
    lifted = entering * _stripped(feeds[3], underflow, stripper_c)
    steam = opened[8] * STEAM / 100.0 * max(100.0 - stripper_c, 0.0)
    stirred = (opened[11] + 150.0) / 100.0
    wetted = min(max(0.025 * reactor_full / 7.8 - 0.25, 0.0), 1.0)
    cooled = wetted * (-0.5 * stirred**2 + 2.75 * stirred - 2.5) * 0.855490 * (jacket_c - reactor_c) * around.reactor_transfer
    condensed = 0.404655 * (1.0 - 1.0 / (1.0 + (from_reactor / 3528.73) ** 4)) * (condenser_c - reactor_c) * around.separator_transfer
    overhead_h, effluent_h, header_h = _gas(overhead, separator_c), _gas(effluent, reactor_c), _gas(in_header, header_c)
    bottoms_h = _liquid(in_separator, separator_c)
    lifted_h = _gas(lifted, stripper_c)  # per hour, not per mol

    rate = np.empty(50)
    rate[0:8] = to_reactor * in_header - from_reactor * effluent + made
    rate[8] = to_reactor * header_h - from_reactor * effluent_h + heat + cooled
    rate[9:17] = from_reactor * effluent - (recycle + purge) * overhead - underflow * in_separator
    # what the compressor puts into the recycle counts against the separator, as published
    rate[17] = from_reactor * effluent_h - (recycle * overhead_h + work) - purge * overhead_h - underflow * bottoms_h + condensed
    rate[18:26] = entering - lifted - product * in_stripper
    rate[26] = (
        feeds[3] * _gas(c_feed, around.c_feed_c) + underflow * bottoms_h - lifted_h - product * _liquid(in_stripper, stripper_c) + steam
    )
    rate[27:35] = feeds[:3] @ FEEDS + lifted + recycle * overhead - to_reactor * in_header
    arriving = sum(flow * _gas(feed, at_c) for flow, feed, at_c in zip(feeds, FEEDS, (around.d_feed_c, 45.0, 45.0), strict=False))
    rate[35] = arriving + lifted_h + recycle * overhead_h + work - to_reactor * header_h
    rate[36] = (opened[9] * REACTOR_WATER / 100.0 * WATER_HEAT * (around.reactor_water_c - jacket_c) - cooled * 1e6 / 1.8) / JACKET
    rate[37] = (
        opened[10] * CONDENSER_WATER / 100.0 * WATER_HEAT * (around.condenser_water_c - condenser_c) - condensed * 1e6 / 1.8
    ) / CONDENSER
    rate[38:50] = (np.clip(demanded, 0.0, 100.0) - state[38:50]) / VALVE_LAG_H

    shown = np.array(
        [
            feeds[2] * KSCMH, feeds[0] * (FEEDS[0] @ MOLAR_MASS) * 0.454, feeds[1] * (FEEDS[1] @ MOLAR_MASS) * 0.454, feeds[3] * KSCMH,
            recycle * KSCMH, to_reactor * KSCMH, _gauge(reactor_p), (reactor_full - 84.6) / 666.7 * 100.0, reactor_c, purge * KSCMH,
            separator_c, (separator_full - 27.5) / 290.0 * 100.0, _gauge(separator_p),
            underflow * _molar_volume(in_separator, separator_c) / 35.3145, (stripper_full - 78.25) / 156.5 * 100.0, _gauge(header_p),
            product * _molar_volume(in_stripper, stripper_c) / 35.3145, stripper_c, steam * 1.04e3 * 0.454, work * 0.29307e3, jacket_c,
            condenser_c, *(100.0 * in_header[:6]), *(100.0 * overhead), *(100.0 * in_stripper[3:]),
        ]
    )  # fmt: skip
    return rate, shown


def _polynomial(coefficients: F8, x: float) -> F8:
    """Of heat capacity, integrated from 0 degC; per pound."""
    row: F8 = 1.8 * x * (coefficients[0] + coefficients[1] * x / 2.0 + coefficients[2] * x * x / 3.0)
    return row


def _liquid(share: F8, celsius: float) -> float:
    return float((share * MOLAR_MASS) @ _polynomial(LIQUID_HEAT, celsius))


def _gas(share: F8, celsius: float) -> float:
    return float((share * MOLAR_MASS) @ (_polynomial(GAS_HEAT, celsius) + VAPORISATION))


def _header(share: F8, celsius: float) -> float:
    """Internal energy, not enthalpy: what a closed volume of gas holds."""
    return _gas(share, celsius) - GAS_CONSTANT_ENERGY * (celsius + ZERO_CELSIUS)


def _temperature(share: F8, energy: float, energy_at: Callable[[F8, float], float]) -> float:
    """By the secant method, to 1e-11 K."""
    before, now = 80.0, 100.0
    wrong = energy_at(share, before) - energy
    for _ in range(50):
        off = energy_at(share, now) - energy
        if abs(now - before) < 1e-11 or off == wrong:
            break
        before, now, wrong = now, now - off * (now - before) / (off - wrong), off
    return now


def _molar_volume(share: F8, celsius: float) -> float:
    return float((share * MOLAR_MASS / (DENSITY[0] + (DENSITY[1] + DENSITY[2] * celsius) * celsius)).sum())


def _partial_pressures(gas: F8, liquid_share: F8, celsius: float, volume: float) -> F8:
    """Ideal gas for A, B and C; Raoult's law over the liquid for the others."""
    pure = np.exp(ANTOINE[0] + ANTOINE[1] / (celsius + ANTOINE[2]))
    return np.concatenate([gas * GAS_CONSTANT * (celsius + ZERO_CELSIUS) / volume, pure * liquid_share[3:]])


def _reactions(partial: F8, celsius: float, volume: float, kinetics: tuple[float, float]) -> tuple[F8, float]:
    """A + C + D -> G; A + C + E -> H; A + E -> F; 3 D -> 2 F: (made per hour, heat)."""
    per_kelvin = 1.0 / (1.987 * (celsius + ZERO_CELSIUS))
    a, c, d, e = max(partial[0], 0.0), max(partial[2], 0.0), partial[3], partial[4]
    common = a**1.1544 * c**0.3735
    to_g = np.exp(31.5859536 - 40000.0 * per_kelvin) * kinetics[0] * common * d * volume
    to_h = np.exp(3.00094014 - 20000.0 * per_kelvin) * kinetics[1] * common * e * volume
    slow = np.exp(53.4060443 - 60000.0 * per_kelvin) * a * volume
    by_e, by_d = slow * e, 0.767488334 * slow * d
    made = np.array([-to_g - to_h - by_e, 0.0, -to_g - to_h, -to_g - 1.5 * by_d, -to_h - by_e, by_e + by_d, to_g, to_h])
    return made, float(to_g * REACTION_HEAT[0] + to_h * REACTION_HEAT[1])


def _stripped(gas: float, liquid: float, celsius: float) -> F8:
    """The share of what enters the stripper that leaves at its top."""
    if liquid <= 0.1:
        return np.array([0.9999, 0.999, 0.999, 0.9999, 0.999, 0.999, 0.99, 0.98])
    if celsius > 170.0:
        factor = celsius - 120.262
    elif celsius < 5.292:
        factor = 0.1
    else:
        factor = 363.744 / (177.0 - celsius) - 2.22579488
    ratio = STRIPPING * gas / liquid * factor
    return np.concatenate([STRIPPED, ratio / (1.0 + ratio)])


def _gauge(pressure: float) -> float:
    """kPa over one atmosphere."""
    return (pressure - ATMOSPHERE) / ATMOSPHERE * 101.325
