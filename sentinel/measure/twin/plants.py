"""Component plants of any size, as plant files: what the engine is measured on.

In: how many states.  Out: the text of a plant file with exactly so many.  Sections of twelve states repeat: two tanks with pump, pipe and
control valve; a heater loop; a heat exchanger to a vessel with a jacket; four PI controllers, four invariants, six measured values,
sixteen uncertain parameters.  A pipe couples each section to the next, so that no plant falls apart into small ones.  What does not make a
section any more is a row of tanks, coupled likewise.  Every number is of the size that the reference plant has.
"""

SECTION = 12
METHOD, STEP_S = "rk3", 1.0
MAX_STATES = 99 * SECTION  # what two digits name

_COMPONENTS = """\
  T{k}1: {{type: tank, area: 0.25 m^2 +- 2 %, height: 2.0 m, level: 1.2 m}}
  T{k}2: {{type: tank, area: 0.25 m^2 +- 2 %, height: 2.0 m, level: 0.8 m}}
  P{k}1: {{type: pump, to: T{k}1, max_flow: 4.22 L/s +- 3 %, shutoff_head: 50 m +- 20 %, lag: 1.5 s, run: P{k}1.RUN, speed: LIC{k}1}}
  C{k}1: {{type: pipe, from: T{k}1, to: T{k}2, coefficient: 3.162 L/s/m^0.5 +- 3 %}}
  FV{k}2: {{type: valve, from: T{k}2, coefficient: 4.0 L/s/m^0.5 +- 3 %, suction: 0.5 m, stroke: 8 s, run: FV{k}2.RUN, position: LIC{k}2}}
  H{k}3: {{type: heater, into: W{k}3, max_power: 30 kW +- 2 %, capacity: 5 kJ/K, still: 40 W/K, flowing: 800 W/K +- 3 %, rated: 1.0 L/s,
          flow: CP{k}3, run: H{k}3.RUN, power: TIC{k}3, temperature: 87 degC}}
  W{k}3: {{type: thermal_mass, capacity: 84 kJ/K +- 2 %, loss: 400 W/K +- 3 %, ambient: 20 degC, temperature: 60 degC}}
  CP{k}3: {{type: circulator, rated: 1.0 L/s +- 2 %, lag: 1.0 s, run: CP{k}3.RUN}}
  HX{k}4: {{type: heat_exchanger, hot: W{k}3, hot_flow: CP{k}3, cold: V{k}4, cold_flow: CP{k}3, transfer: 0.3 kW/K +- 5 %,
           hot_capacity: 20 kJ/K, cold_capacity: 20 kJ/K, hot_outlet: 58.7 degC, cold_outlet: 41.3 degC}}
  V{k}4: {{type: thermal_mass, capacity: 200 kJ/K +- 2 %, loss: 100 W/K +- 5 %, ambient: 20 degC, temperature: 40 degC}}
  J{k}4: {{type: jacket, of: V{k}4, transfer: 0.4 kW/K +- 5 %, capacity: 40 kJ/K, rated: 0.1 L/s +- 3 %, supply: 12 degC, stroke: 6 s,
          run: J{k}4.RUN, position: TIC{k}4, temperature: 31.5 degC}}
"""
_CONTROLLERS = """\
  LIC{k}1: {{pv: LT{k}1, sp: LIC{k}1.SP, op: LIC{k}1.OP, auto: LIC{k}1.AUTO, kp: 120 %/m, ti: 60 s, action: reverse}}
  LIC{k}2: {{pv: LT{k}2, sp: LIC{k}2.SP, op: LIC{k}2.OP, auto: LIC{k}2.AUTO, kp: 100 %/m, ti: 80 s, action: direct}}
  TIC{k}3: {{pv: TT{k}3, sp: TIC{k}3.SP, op: TIC{k}3.OP, auto: TIC{k}3.AUTO, kp: 6 %/K, ti: 90 s, action: reverse}}
  TIC{k}4: {{pv: TT{k}4, sp: TIC{k}4.SP, op: TIC{k}4.OP, auto: TIC{k}4.AUTO, kp: 4 %/K, ti: 200 s, action: direct}}
"""
_INVARIANTS = """\
  T{k}1-overfill: {{always: LT{k}1 <= 1.60 m, severity: critical, says: T{k}1 must not come near its rim}}
  T{k}2-dry-run: {{always: LT{k}2 >= 0.20 m, severity: high, says: FV{k}2 must not draw air}}
  W{k}3-boil: {{always: TT{k}3 <= 80 degC, severity: critical, says: the loop must stay below its design temperature}}
  V{k}4-overheat: {{always: TT{k}4 <= 60 degC, severity: critical, says: the vessel must stay below its design temperature}}
"""
_TAGS = """\
  LT{k}1: {{role: process_value, unit: m, range: [0, 2], of: T{k}1.level}}
  LT{k}2: {{role: process_value, unit: m, range: [0, 2], of: T{k}2.level}}
  FT{k}2: {{role: process_value, unit: L/s, range: [0, 6], of: FV{k}2.flow}}
  TT{k}3: {{role: process_value, unit: degC, range: [0, 120], of: W{k}3.temperature}}
  FT{k}3: {{role: process_value, unit: L/s, range: [0, 2], of: CP{k}3.flow}}
  TT{k}4: {{role: process_value, unit: degC, range: [0, 120], of: V{k}4.temperature}}
  LIC{k}1.SP: {{role: setpoint, unit: m, range: [0.4, 1.5], writable: true, start: 1.2}}
  LIC{k}2.SP: {{role: setpoint, unit: m, range: [0.3, 1.4], writable: true, start: 0.8}}
  TIC{k}3.SP: {{role: setpoint, unit: degC, range: [20, 75], writable: true, start: 60}}
  TIC{k}4.SP: {{role: setpoint, unit: degC, range: [20, 55], writable: true, start: 40}}
  LIC{k}1.OP: {{role: output, unit: "%", range: [0, 100], writable: true, start: 50}}
  LIC{k}2.OP: {{role: output, unit: "%", range: [0, 100], writable: true, start: 43.9}}
  TIC{k}3.OP: {{role: output, unit: "%", range: [0, 100], writable: true, start: 71}}
  TIC{k}4.OP: {{role: output, unit: "%", range: [0, 100], writable: true, start: 42}}
"""
_TANK = "{type: tank, area: 0.25 m^2 +- 2 %, height: 2.0 m, level: 0.8 m}"
_LINK = "coefficient: 0.5 L/s/m^0.5 +- 5 %"
_LEVEL = "{role: process_value, unit: m, range: [0, 2]"
_MODE = '{role: mode, unit: "1", range: [0, 1], writable: true, start: 1}'
_MODES = ("P{k}1.RUN", "FV{k}2.RUN", "H{k}3.RUN", "CP{k}3.RUN", "J{k}4.RUN", "LIC{k}1.AUTO", "LIC{k}2.AUTO", "TIC{k}3.AUTO", "TIC{k}4.AUTO")


def plant_text(states: int, method: str = METHOD, step_s: float = STEP_S) -> str:
    """A plant file.  Raises ValueError when there is nothing to build."""
    if not 1 <= states <= MAX_STATES:
        raise ValueError(f"{states} states, expected 1 to {MAX_STATES}")
    sections, left = divmod(states, SECTION)
    names = [f"{section + 1:02}" for section in range(sections)]
    tanks = [f"{sections + 1 + tank:02}" for tank in range(left)]
    lines = [
        f"plant: bench-{states}\nseed: 50\nengine: {{method: {method}, step: {step_s:g} s}}\ncomponents:\n",
        *(_COMPONENTS.format(k=k) for k in names),
        *(f"  T{k}1: {_TANK}\n" for k in tanks),
        *(f"  L{k}1: {{type: pipe, from: {other}, to: T{k}1, {_LINK}}}\n" for other, k in _links(names, tanks)),
    ]
    if names:
        lines += ["controllers:\n", *(_CONTROLLERS.format(k=k) for k in names), "invariants:\n", *(_INVARIANTS.format(k=k) for k in names)]
    lines += ["tags:\n", *(_TAGS.format(k=k) for k in names), *(f"  LT{k}1: {_LEVEL}, of: T{k}1.level}}\n" for k in tanks)]
    lines += [f"  {mode.format(k=k)}: {_MODE}\n" for k in names for mode in _MODES]
    return "".join(lines)


def _links(names: list[str], tanks: list[str]) -> list[tuple[str, str]]:
    """(last tank of a section, the section after it)."""
    ends = [f"T{k}2" for k in names] + [f"T{k}1" for k in tanks]
    return list(zip(ends, [*names, *tanks][1:], strict=False))
