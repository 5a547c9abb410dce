"""The controller's OPC UA server, asked by asyncua's own client over loopback."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from sentinel.clock import ManualClock
from sentinel.demo.opcua_server import OpcuaService
from sentinel.demo.simulation import ReferencePlant
from sentinel.model.time import NS_PER_S
from tests.unit.demo.conftest import PATIENCE_S


class Bed:
    def __init__(self, plant: ReferencePlant, service: OpcuaService, clock: ManualClock, url: str) -> None:
        self.plant = plant
        self.service = service
        self.clock = clock
        self.url = url


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    plant, clock = ReferencePlant(), ManualClock()
    service = OpcuaService(plant.registers, plant.interface.tags, clock)
    url = await service.start("127.0.0.1", 0)
    yield Bed(plant, service, clock, url)
    await service.stop()


async def test_every_tag_is_a_node_with_its_value_and_the_controllers_time(bed: Bed) -> None:
    bed.clock.advance(5)
    bed.plant.registers.put("LT101", 1.234)
    await bed.service.publish()
    async with Client(bed.url) as client:
        for tag in bed.plant.interface.tags.tags:
            value = await client.get_node(str(tag.opcua)).read_value()
            assert value == pytest.approx(bed.plant.registers.value(tag.name)), tag.name
            assert isinstance(value, bool if tag.modbus and tag.modbus.is_bit else float), tag.name
        level = await client.get_node("ns=2;s=LT101").read_data_value()
        assert level.SourceTimestamp
        assert level.SourceTimestamp.timestamp() == pytest.approx(bed.clock.now() / NS_PER_S)
        still = await client.get_node("ns=2;s=TT202").read_data_value()
        assert still.SourceTimestamp
        assert still.SourceTimestamp < level.SourceTimestamp


async def test_a_clients_write_reaches_the_registers_and_ours_do_not_count(bed: Bed) -> None:
    async with Client(bed.url) as client:
        await client.get_node("ns=2;s=LIC101.SP").write_value(1.95)
        await client.get_node("ns=2;s=P101.RUN").write_value(False)
        assert bed.plant.registers.value("LIC101.SP") == pytest.approx(1.95)
        assert bed.plant.registers.value("P101.RUN") == 0
        await client.get_node("ns=2;s=LIC101.SP").write_value(1.23456)
        await bed.service.publish()
        assert await client.get_node("ns=2;s=LIC101.SP").read_value() == pytest.approx(1.235)
        await client.get_node("ns=2;s=LIC101.SP").write_value(1e9)
        assert bed.plant.registers.value("LIC101.SP") == pytest.approx(65.535)
    assert bed.service.writes == 4


_REFUSED: tuple[tuple[str, ua.Variant, type[Exception]], ...] = (
    ("LT101", ua.Variant(1.0, ua.VariantType.Double), ua.uaerrors.BadUserAccessDenied),
    ("LIC101.SP", ua.Variant(math.nan, ua.VariantType.Double), ua.uaerrors.BadOutOfRange),
    ("LIC101.SP", ua.Variant("high", ua.VariantType.String), ua.uaerrors.BadTypeMismatch),
    ("LIC101.SP", ua.Variant([1.0, 2.0], ua.VariantType.Double), ua.uaerrors.BadOutOfRange),
    ("LIC101.SP", ua.Variant(None, ua.VariantType.Null), ua.UaStatusCodeError),
    ("P101.RUN", ua.Variant(0.0, ua.VariantType.Double), ua.uaerrors.BadTypeMismatch),
)


async def test_a_write_that_cannot_be_is_refused_and_changes_nothing(bed: Bed) -> None:
    before = bed.plant.values()
    async with Client(bed.url) as client:
        for node, value, error in _REFUSED:
            variable = client.get_node(f"ns=2;s={node}")
            with pytest.raises(error):
                await variable.write_value(ua.DataValue(value))
            assert bed.plant.values() == before
            assert await variable.read_value() == pytest.approx(before[node])


async def test_a_subscription_hears_changes(bed: Bed) -> None:
    heard: asyncio.Queue[float] = asyncio.Queue()

    class Ear:
        def datachange_notification(self, node: Any, value: float, data: Any) -> None:
            heard.put_nowait(value)

    async with Client(bed.url) as client:
        subscription = await client.create_subscription(50, Ear())
        await subscription.subscribe_data_change(client.get_node("ns=2;s=LT101"))
        assert await asyncio.wait_for(heard.get(), PATIENCE_S) == pytest.approx(1.2, abs=0.01)
        bed.plant.registers.put("LT101", 1.5)
        await bed.service.publish()
        assert await asyncio.wait_for(heard.get(), PATIENCE_S) == pytest.approx(1.5)


async def test_it_offers_no_security_and_basic256sha256(bed: Bed) -> None:
    endpoints = await Client(bed.url).connect_and_get_server_endpoints()
    offered = {(endpoint.SecurityPolicyUri.rpartition("#")[2], endpoint.SecurityMode.name) for endpoint in endpoints}
    assert offered == {("None", "None_"), ("Basic256Sha256", "Sign"), ("Basic256Sha256", "SignAndEncrypt")}


async def test_an_encrypted_channel_works(bed: Bed, tmp_path: Path) -> None:
    client = Client(bed.url)
    client.application_uri = "urn:sentinel:test:client"
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.der"
    await client.setup_self_signed_certificate(key, certificate, host_name="localhost")
    await client.set_security(SecurityPolicyBasic256Sha256, str(certificate), str(key), mode=ua.MessageSecurityMode.SignAndEncrypt)
    async with client:
        assert await client.get_node("ns=2;s=LIC101.SP").read_value() == pytest.approx(1.2)
