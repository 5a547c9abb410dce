"""The catalogue of component kinds.  To add one: one file here, one line below; the contract suite then runs over it."""

from sentinel.twin.component import Kind
from sentinel.twin.components import (
    bearing,
    buffer,
    burner,
    circulator,
    conveyor,
    coolant_loop,
    furnace,
    heat_exchanger,
    heater,
    jacket,
    machine,
    motor,
    pipe,
    pump,
    spindle,
    tank,
    thermal_mass,
    valve,
)

CATALOGUE: tuple[Kind, ...] = (
    tank.KIND,
    pump.KIND,
    pipe.KIND,
    valve.KIND,
    thermal_mass.KIND,
    heater.KIND,
    heat_exchanger.KIND,
    jacket.KIND,
    burner.KIND,
    furnace.KIND,
    circulator.KIND,
    motor.KIND,
    spindle.KIND,
    bearing.KIND,
    coolant_loop.KIND,
    buffer.KIND,
    machine.KIND,
    conveyor.KIND,
)
