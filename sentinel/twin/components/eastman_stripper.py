"""The stripper of the Tennessee Eastman process: the gas of a feed strips the separator's liquid, steam heats it, the product leaves below.

What share of each species is lifted follows from the ratio of gas to liquid and a factor of the temperature.
"""

from sentinel.twin.component import Kind, Own, Parameter, Signal, Variable, Wire
from sentinel.twin.eastman import (
    ALL,
    LB_MOL_PER_HOUR,
    ROUND_FOOT,
    celsius,
    each,
    enthalpy_flow,
    gas_enthalpy,
    holdups,
    lagged,
    liquid_enthalpy,
    liquid_volume,
    offered,
    opening,
    stream,
)
from sentinel.twin.expression import Expression, clip, constant, greater, maximum, total, where
from sentinel.twin.units import unit
from sentinel.twin.vessel import liquid_level, liquid_share, temperature, warming_liquid

LIFTED = {"A": 0.995, "B": 0.991, "C": 0.990}
LIFTED_BY_RATIO = {"D": 8.5010, "E": 11.402, "F": 11.795, "G": 0.0480, "H": 0.0242}
LIFTED_DRY = {"A": 0.9999, "B": 0.999, "C": 0.999, "D": 0.9999, "E": 0.999, "F": 0.999, "G": 0.99, "H": 0.98}  # without liquid
LEAST_LIQUID = 0.1 * LB_MOL_PER_HOUR
COLDEST_C, HOTTEST_C = 5.292, 170.0  # of the factor's formula
STEAM_C = 100.0
STEAM_SHOWN = constant(1.04e3 * 0.454e-6, "kg/Btu")  # what the instrument takes for the latent heat


def _entering(own: Own, name: str) -> Expression:
    return own.wired("gas").variable(f"out_{name}") + own.wired("liquid").variable(f"under_{name}")


def _ratio(own: Own) -> Expression:
    """Gas over liquid, times the factor of the temperature."""
    t = celsius(own.state("temperature"))
    inside = 363.744 / (177.0 - clip(t, COLDEST_C, HOTTEST_C)) - 2.22579488
    factor = where(greater(t, HOTTEST_C), t - 120.262, where(greater(COLDEST_C - t, 0.0), 0.1, inside))
    return own.wired("gas").variable("flow") / maximum(own.wired("liquid").variable("underflow_amount"), LEAST_LIQUID) * factor


def _over(own: Own, name: str) -> Expression:
    if name in LIFTED:
        wet: Expression = constant(LIFTED[name])
    else:
        reached = LIFTED_BY_RATIO[name] * own.variable("ratio")
        wet = reached / (1.0 + reached)
    is_wet = greater(own.wired("liquid").variable("underflow_amount"), LEAST_LIQUID)
    return own.variable(f"in_{name}") * where(is_wet, wet, LIFTED_DRY[name])


def _steam(own: Own) -> Expression:
    warmer = maximum(constant(STEAM_C, "degC") - own.state("temperature"), constant(0.0, "K"))
    return own.state("steam") * own.parameter("steam_rated") * warmer


def _energy(own: Own) -> Expression:
    entering = own.wired("gas").variable("out_heat") + own.wired("liquid").variable("under_heat")
    return entering - own.variable("over_heat") - own.variable("product_heat") + own.variable("steam_heat")


def _product_volume(own: Own) -> Expression:
    t = celsius(own.state("temperature"))
    return total([own.variable(f"product_{name}") * liquid_volume(name, t) for name in ALL], unit("m^3/h").dimension) / ROUND_FOOT


KIND = Kind(
    name="eastman_stripper",
    says="column in which a gas strips a liquid",
    parameters={
        "steam_rated": Parameter(unit="kW/K", says="heat per kelvin below the steam's temperature, fully open"),
        "product_rated": Parameter(unit="kmol/h", says="product, fully open"),
        "lag": Parameter(unit="s", says="time constant of the product valve"),
        "steam_lag": Parameter(unit="s", says="time constant of the steam valve"),
    },
    states={
        **holdups("in the stripper"),
        "temperature": temperature("of the stripper"),
        "product": opening("product", "of the product valve"),
        "steam": opening("steam", "of the steam valve"),
    },
    derivatives={
        **{name: (lambda own, name=name: own.variable(f"rate_{name}")) for name in ALL},  # type: ignore[misc]
        "temperature": warming_liquid(ALL, _energy),
        "product": lagged("product"),
        "steam": lagged("steam", "steam_lag"),
    },
    variables={
        **liquid_share(ALL),
        "level": liquid_level(78.25, 156.5),
        "ratio": Variable(unit="1", says="gas over liquid, scaled by temperature", equation=_ratio),
        **each("in", "kmol/h", "entering", _entering),
        **stream("over", "the vapour", _over, lambda own: enthalpy_flow(own, "over", own.state("temperature"), gas_enthalpy)),
        "product_amount": Variable(
            unit="kmol/h", says="product", equation=lambda own: own.state("product") * own.parameter("product_rated")
        ),
        **stream(
            "product",
            "the product",
            lambda own, name: own.variable("product_amount") * own.variable(f"x_{name}"),
            lambda own: enthalpy_flow(own, "product", own.state("temperature"), liquid_enthalpy),
        ),
        "product_volume": Variable(unit="m^3/h", says="product", equation=_product_volume),
        **each(
            "rate",
            "kmol/h",
            "net gain of",
            lambda own, name: own.variable(f"in_{name}") - own.variable(f"over_{name}") - own.variable(f"product_{name}"),
        ),
        "steam_heat": Variable(unit="kW", says="brought by the steam", equation=_steam),
        "steam_flow": Variable(unit="kg/h", says="steam", equation=lambda own: own.variable("steam_heat") * STEAM_SHOWN),
    },
    wires={
        "gas": Wire(says="the feed whose gas strips", offers={**offered("out"), "flow": "kmol/h"}),
        "liquid": Wire(says="the separator whose liquid is stripped", offers={**offered("under"), "underflow_amount": "kmol/h"}),
    },
    signals={
        "product": Signal(unit="%", says="demanded opening of the product valve"),
        "steam": Signal(unit="%", says="demanded opening of the steam valve"),
    },
)
