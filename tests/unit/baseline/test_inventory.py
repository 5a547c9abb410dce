from sentinel.baseline import inventory as inventory_module
from sentinel.baseline.inventory import Inventory
from sentinel.model.protocol import Protocol
from tests.observations import MASTER, PLC, at, flow, polling, window


def test_assets_and_conduits_are_what_was_heard() -> None:
    inventory = Inventory()
    for second in range(3):
        inventory.observe(polling(second))
    inventory.observe(window(5, flow_rows=[flow(5.2, protocol=Protocol.MODBUS)]))
    assets = {asset.id: asset for asset in inventory.assets}
    assert (assets[MASTER].roles, assets[PLC].roles) == (("client",), ("server",))
    assert assets[MASTER].protocols == ("modbus",)
    assert (assets[MASTER].first_seen, assets[MASTER].last_seen) == (at(0.1), at(5.2))
    assert {(c.client, c.server, c.protocol, c.port) for c in inventory.conduits} == {
        (MASTER, PLC, "tcp", 502),
        (MASTER, PLC, "modbus", 502),
    }
    assert {c.protocol: c.messages for c in inventory.conduits} == {"tcp": 0, "modbus": 6}  # packets are no messages


def test_forged_senders_do_not_fill_the_memory() -> None:
    limit, inventory_module.MAX_ASSETS = inventory_module.MAX_ASSETS, 10
    try:
        inventory = Inventory()
        inventory.observe(window(0, flow_rows=[flow(0, source=f"10.1.0.{i}") for i in range(50)]))
    finally:
        inventory_module.MAX_ASSETS = limit
    assert len(inventory.assets) == 10
    assert inventory.refused == 40
