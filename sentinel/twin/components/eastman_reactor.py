"""The reactor of the Tennessee Eastman process: gases react over a stirred liquid that a jacket of water cools.

A + C + D -> G, A + C + E -> H, A + E -> F and 3 D -> 2 F, all in the gas.  Products leave as vapour only.  The heat transfer grows with the
liquid that wets the coil, and is a parabola of the agitator's speed.
"""

from sentinel.twin.component import Kind, Own, Parameter, Signal, Variable, Wire
from sentinel.twin.eastman import (
    ALL,
    LB_MOL,
    LB_MOL_PER_HOUR,
    LIQUIDS,
    MILLION_BTU,
    each,
    enthalpy_flow,
    gas_enthalpy,
    holdups,
    lagged,
    offered,
    opening,
    pressure_driven,
    stream,
)
from sentinel.twin.elementary import exponential, power
from sentinel.twin.expression import Expression, clip, constant, maximum, root
from sentinel.twin.vessel import equilibrium, liquid_level, temperature, warming_liquid, warmth

# ln of the rate in lb mol/h per ft^3 of gas and per powers of partial pressures in mmHg; activation energy in cal/mol
RATE_G, RATE_H, RATE_F = (31.5859536, 40000.0), (3.00094014, 20000.0), (53.4060443, 60000.0)
D_TO_F = 0.767488334  # rate of 3 D -> 2 F over that of A + E -> F, at equal pressures
ORDER_A, ORDER_C = 1.1544, 0.3735
CAL_PER_MOL_K = 1.987
HEAT_G, HEAT_H = (heat * MILLION_BTU / LB_MOL for heat in (0.06899381054, 0.05))
# Above some 140 degC D reacts as fast as it comes: its holdup, a few mol, follows within 0.1 s and would ask for shorter steps.  It is held
# to follow no quicker than this, smoothly: its steady state stays, and at the base case (0.08 /s) its rate is right to one in 10^5.
QUICKEST = constant(1.0, "1/s")
_BARE_FT3, _COVERED_FT3 = 78.0, 390.0  # liquid at which the coil begins to be wetted, and is covered
_AMBIENT_STIR = 1.5  # of a speed that counts from here, at 0 %


def _mmhg(own: Own, name: str) -> Expression:
    return maximum(own.variable(f"p_{name}") / constant(1.0, "mmHg"), 0.0)


def _arrhenius(own: Own, law: tuple[float, float]) -> Expression:
    offset, activation = law
    per_volume = exponential(offset - constant(activation / CAL_PER_MOL_K, "K") / maximum(own.state("temperature"), constant(1.0, "K")))
    return per_volume * (own.variable("gas_volume") / constant(1.0, "ft^3")) * LB_MOL_PER_HOUR


def _common(own: Own) -> Expression:
    return power(_mmhg(own, "A"), ORDER_A) * power(_mmhg(own, "C"), ORDER_C)


def _slow(own: Own) -> Expression:
    return _arrhenius(own, RATE_F) * _mmhg(own, "A")


def _to_g(own: Own) -> Expression:
    return _arrhenius(own, RATE_G) * own.parameter("kinetics_g") * own.variable("common") * _mmhg(own, "D")


def _following(own: Own) -> Expression:
    """By what the rate of D is slowed."""
    quick = own.variable("reaction_1") / maximum(own.state("D"), constant(1e-9, "kmol")) / QUICKEST
    square = quick * quick
    return 1.0 / root(root(1.0 + square * square))


def _made(own: Own, name: str) -> Expression | None:
    to_g, to_h, by_e, by_d = (own.variable(f"reaction_{i}") for i in range(1, 5))
    return {
        "A": -to_g - to_h - by_e,
        "B": None,
        "C": -to_g - to_h,
        "D": -to_g - 1.5 * by_d,
        "E": -to_h - by_e,
        "F": by_e + by_d,
        "G": to_g,
        "H": to_h,
    }[name]


def _rate(own: Own, name: str) -> Expression:
    through = own.wired("from").variable(f"out_{name}") - own.variable(f"out_{name}")
    made = _made(own, name)
    net = through if made is None else through + made
    return net * _following(own) if name == "D" else net


def _cooling(own: Own) -> Expression:
    """Taken from the reactor by its jacket."""
    bare, covered = constant(_BARE_FT3, "ft^3"), constant(_COVERED_FT3, "ft^3")
    wetted = clip((own.variable("liquid_volume") - bare) / (covered - bare), 0.0, 1.0)
    speed = own.state("agitator") + _AMBIENT_STIR
    stirred = speed * (2.75 - 0.5 * speed) - 2.5
    return wetted * stirred * own.parameter("transfer") * (own.state("temperature") - own.state("jacket"))


def _energy(own: Own) -> Expression:
    heat = own.variable("reaction_1") * HEAT_G + own.variable("reaction_2") * HEAT_H
    return own.wired("from").variable("out_heat") - own.variable("out_heat") + heat - own.variable("cooling")


def _jacket(own: Own) -> Expression:
    water = own.state("water") * own.parameter("water_rated")
    return (own.variable("cooling") - water * (own.state("jacket") - own.parameter("water_supply"))) / own.parameter("jacket_capacity")


KIND = Kind(
    name="eastman_reactor",
    says="stirred reactor, gas over liquid, cooled by a jacket",
    parameters={
        "volume": Parameter(unit="m^3", says="gas and liquid"),
        "outflow": Parameter(unit="kg/h/kPa^0.5", says="mass flow out at a pressure difference of one unit"),
        "kinetics_g": Parameter(unit="1", says="rate of A + C + D -> G over the published one", default="1"),
        "kinetics_h": Parameter(unit="1", says="rate of A + C + E -> H over the published one", default="1"),
        "transfer": Parameter(unit="kW/K", says="heat transfer coefficient that wetting and stirring scale"),
        "jacket_capacity": Parameter(unit="MJ/K", says="of the water in the jacket"),
        "water_rated": Parameter(unit="kW/K", says="heat capacity flow of the water, fully open"),
        "water_supply": Parameter(unit="degC", says="temperature of the water that comes in"),
        "lag": Parameter(unit="s", says="time constant of valve and agitator"),
    },
    states={
        **holdups("in the reactor"),
        "temperature": temperature("of the reactor"),
        "jacket": warmth("of the water in the jacket", "jacket"),
        "water": opening("water", "of the cooling water's valve"),
        "agitator": opening("agitator", "speed of the agitator"),
    },
    derivatives={
        **{name: (lambda own, name=name: own.variable(f"rate_{name}")) for name in ALL},  # type: ignore[misc]
        "temperature": warming_liquid(LIQUIDS, _energy),
        "jacket": _jacket,
        "water": lagged("water"),
        "agitator": lagged("agitator"),
    },
    variables={
        **equilibrium(),
        "level": liquid_level(84.6, 666.7),
        "common": Variable(unit="1", says="what A and C do to the rates", equation=_common),
        "slow": Variable(unit="kmol/h", says="what A does to the side reactions", equation=_slow),
        "reaction_1": Variable(
            unit="kmol/h",
            says="A + C + D -> G",
            equation=_to_g,
        ),
        "reaction_2": Variable(
            unit="kmol/h",
            says="A + C + E -> H",
            equation=lambda own: _arrhenius(own, RATE_H) * own.parameter("kinetics_h") * own.variable("common") * _mmhg(own, "E"),
        ),
        "reaction_3": Variable(unit="kmol/h", says="A + E -> F", equation=lambda own: own.variable("slow") * _mmhg(own, "E")),
        "reaction_4": Variable(
            unit="kmol/h", says="3 D -> 2 F, half of it", equation=lambda own: D_TO_F * own.variable("slow") * _mmhg(own, "D")
        ),
        "flow": Variable(
            unit="kmol/h",
            says="to the separator",
            equation=lambda own: pressure_driven(
                own.parameter("outflow"), own.variable("pressure"), own.wired("to").variable("pressure"), own.variable("molar_mass")
            ),
        ),
        **stream(
            "out",
            "the effluent",
            lambda own, name: own.variable("flow") * own.variable(f"y_{name}"),
            lambda own: enthalpy_flow(own, "out", own.state("temperature"), gas_enthalpy),
        ),
        **each("rate", "kmol/h", "net gain of", _rate),
        "cooling": Variable(unit="kW", says="heat taken by the jacket", equation=_cooling),
    },
    wires={
        "from": Wire(says="the header that feeds it", offers=offered("out")),
        "to": Wire(says="the separator it flows to", offers={"pressure": "kPa"}),
    },
    signals={
        "water": Signal(unit="%", says="demanded opening of the cooling water"),
        "agitator": Signal(unit="%", says="demanded speed of the agitator"),
    },
)
