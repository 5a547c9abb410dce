"""Packets that end where readable memory ends: a kernel that reads one octet too far ends this process with SIGSEGV.

``python -m tests.unit.collectors.capture.guard SEED ROUNDS``; prints how many mutated packets were taken.
"""

import ctypes
import mmap
import random
import sys

import numpy as np

from collectors.capture.packets import LINK_TYPES, PacketBatch
from collectors.capture.sensor import Sensor
from tests.unit.collectors.capture.frames import START, Talk, ethernet, ip4, ip6, read, registers, udp, write
from tests.unit.collectors.capture.test_tunnels import ASKS, TUNNELS
from tests.unit.collectors.wire.test_opcua import HANDSHAKE, message

PAGE = mmap.PAGESIZE
ROOM = 16 * PAGE


def seeds() -> list[bytes]:
    talk, six = Talk(), Talk(client="fd00::1", server="fd00::2")
    for each in (talk, six):
        for i in range(4):
            each.ask(read(i) + write(i, 5, 7))
            each.answer(registers(i))
            each.raw(0, write(i, 8, 8) + read(9), shift=30)
    opcua = Talk(sport=4840)
    for from_client, octets in HANDSHAKE:
        opcua.send(0 if from_client else 1, octets)
    for i in range(4):
        opcua.ask(message(673, 2 + 2 * i, 2 + i, final=b"C") + message(0, 3 + 2 * i, 2 + i))
        opcua.answer(message(676, 2 + i, 2 + i))
        opcua.raw(0, message(631, 9, 9), shift=40)
    extra = [
        ethernet(ip6(bytes([60, 0]) + bytes(6) + bytes([6, 0]) + bytes(6), "fd00::1", "fd00::2", 0), 0x86DD),
        ethernet(ip4(udp(bytes(40), 47808, 47808), "10.0.0.1", "10.0.0.2", 17), tags=[(0x8100, 1), (0x88A8, 2)]),
    ]
    return talk.packets + six.packets + opcua.packets + extra + [around(ASKS) for around in TUNNELS.values()]


def mutated(packet: bytes, chance: random.Random) -> bytes:
    octets = bytearray(packet)
    for _ in range(chance.randint(0, 6)):
        octets[chance.randrange(len(octets))] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
    return bytes(octets[: chance.randint(0, len(octets))]) if chance.random() < 0.4 else bytes(octets)


def main(seed: int, rounds: int) -> int:
    memory = mmap.mmap(-1, ROOM + PAGE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if libc.mprotect(address + ROOM, PAGE, 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    octets = np.frombuffer(memory, np.uint8, count=ROOM)
    chance, sensor, taken, rows = random.Random(seed), Sensor("guard", seed=seed), 0, 0
    for number in range(rounds):
        packets = [mutated(packet, chance) for packet in seeds()]
        sizes = np.array([len(packet) for packet in packets], np.int32)
        for row in range(len(packets)):  # each packet alone at the very end
            size = int(sizes[row])
            octets[ROOM - size :] = np.frombuffer(packets[row], np.uint8)
            heard = sensor.feed(
                PacketBatch(
                    octets=octets,
                    off=np.array([ROOM - size]),
                    cap=sizes[row : row + 1].copy(),
                    wire=np.array([size + chance.choice((0, 0, 5))], np.int32),
                    time=np.array([START + number * 10_000_000 + row]),
                    frame=np.array([taken + 1]),
                    link=np.array([chance.choice((1, 1, 1, 1, *LINK_TYPES, 999))], np.uint16),
                    vlan=np.zeros(1, np.uint32),
                    iface=np.zeros(1, np.uint16),
                )
            )
            rows += len(heard.messages)
            taken += 1
    sensor.close()
    print(taken, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])))
