"""FMUs for the tests: a heated vessel in C, compiled here, well behaved or not."""

import io
import platform
import subprocess
import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

SOURCE = Path(__file__).with_name("heater.c")
TOKEN = "heater-1"
FOLDERS = {2: "linux64", 3: f"{platform.machine()}-linux"}

DESCRIPTIONS = {
    2: """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="2.0" modelName="Heater" guid="{token}" generationTool="a C compiler">
  <CoSimulation modelIdentifier="heater" canHandleVariableCommunicationStepSize="true" canGetAndSetFMUstate="{can_fork}"/>
  <UnitDefinitions><Unit name="degC"/><Unit name="K/s"/><Unit name="1/s"/></UnitDefinitions>
  <DefaultExperiment startTime="0" stopTime="600" stepSize="0.5"/>
  <ModelVariables>
    <ScalarVariable name="T" valueReference="1" causality="output" variability="continuous" initial="exact" description="inside">
      <Real unit="degC" start="20" min="0" max="200"/></ScalarVariable>
    <ScalarVariable name="u" valueReference="2" causality="input"><Real start="0" min="0" max="1"/></ScalarVariable>
    <ScalarVariable name="gain" valueReference="3" causality="parameter" variability="fixed"><Real unit="K/s" start="2"/></ScalarVariable>
    <ScalarVariable name="loss" valueReference="4" causality="parameter" variability="tunable">
      <Real unit="1/s" start="0.02"/></ScalarVariable>
    <ScalarVariable name="heating" valueReference="5" causality="output"><Real unit="K/s"/></ScalarVariable>
    <ScalarVariable name="on" valueReference="6" causality="input" variability="discrete"><Boolean start="true"/></ScalarVariable>
    <ScalarVariable name="note" valueReference="7" causality="parameter" variability="fixed"><String start=""/></ScalarVariable>
    <ScalarVariable name="time" valueReference="0" causality="independent" variability="continuous"><Real/></ScalarVariable>
  </ModelVariables>
  <ModelStructure><Outputs><Unknown index="1"/><Unknown index="5"/></Outputs></ModelStructure>
</fmiModelDescription>""",
    3: """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="3.0" modelName="Heater" instantiationToken="{token}" generationTool="a C compiler">
  <CoSimulation modelIdentifier="heater" canHandleVariableCommunicationStepSize="true" canGetAndSetFMUState="{can_fork}"/>
  <UnitDefinitions><Unit name="degC"/><Unit name="K/s"/><Unit name="1/s"/></UnitDefinitions>
  <DefaultExperiment startTime="0" stopTime="600" stepSize="0.5"/>
  <ModelVariables>
    <Float64 name="T" valueReference="1" causality="output" initial="exact" unit="degC" start="20" min="0" max="200"
      description="inside"/>
    <Float64 name="u" valueReference="2" causality="input" start="0" min="0" max="1"/>
    <Float64 name="gain" valueReference="3" causality="parameter" variability="fixed" unit="K/s" start="2"/>
    <Float64 name="loss" valueReference="4" causality="parameter" variability="fixed" unit="1/s" start="0.02"/>
    <Float64 name="heating" valueReference="5" causality="output" unit="K/s"/>
    <Boolean name="on" valueReference="6" causality="input" variability="discrete" start="true"/>
    <Float64 name="profile" valueReference="8" causality="local"><Dimension start="3"/></Float64>
    <Float64 name="time" valueReference="0" causality="independent" variability="continuous"/>
  </ModelVariables>
  <ModelStructure><Output valueReference="1"/><Output valueReference="5"/></ModelStructure>
</fmiModelDescription>""",
}

PLANT = """plant: vessel
title: A heated vessel
seed: 7
model: {fmu: heater.fmu, step: 0.5 s}
parameters: {gain: 2.0 K/s +- 5 %}
modbus: {unit: 1}
tags:
  TT1: {role: process_value, unit: degC, range: [0, 200], of: T, modbus: {table: input, address: 0}}
  HV1: {role: output, unit: "%", range: [0, 100], writable: true, of: u, modbus: {table: holding, address: 1}}
  H1.RUN: {role: mode, unit: "1", range: [0, 1], writable: true, of: "on", modbus: {table: coil, address: 2}}
invariants:
  vessel-hot: {always: TT1 <= 90 degC, severity: high, says: "the lining does not stand more", impact: T0879}
"""


@cache
def library(version: int, bad: str = "GOOD") -> bytes:
    with TemporaryDirectory() as directory:
        out = Path(directory) / "heater.so"
        words = ["gcc", "-O1", "-fPIC", "-shared", "-w", f"-DFMI={version}", f"-DBAD={bad}", str(SOURCE), "-o", str(out)]
        subprocess.run(words, check=True)
        return out.read_bytes()


def package(version: int, bad: str = "GOOD", can_fork: bool = True, token: str = TOKEN) -> bytes:
    text = DESCRIPTIONS[version].format(token=token, can_fork="true" if can_fork else "false")
    return zipped({"modelDescription.xml": text.encode(), f"binaries/{FOLDERS[version]}/heater.so": library(version, bad)})


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, octets in members.items():
            file.writestr(name, octets)
    return buffer.getvalue()
