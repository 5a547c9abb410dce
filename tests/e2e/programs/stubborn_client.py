"""A Modbus client that never gives its TCP session up: the kernel it runs on must be told to ignore resets (`DEAFEN`).

    python -m tests.e2e.programs.stubborn_client HOST PORT

Writes rising numbers to holding register 9 over one connection, `PERIOD_S` after each answer; says `written N`.  The pause leaves both ends
idle: a cut then falls between two requests, and the server learns nothing of it.
"""

import select
import socket
import struct
import sys

PERIOD_S = 0.25
DEAFEN = "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }; add rule inet deaf in tcp flags rst drop"


def main(host: str, port: int) -> int:
    with socket.create_connection((host, port), timeout=None) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = 0
        while True:
            number = (number + 1) & 0x7FFF
            connection.sendall(struct.pack(">HHHBBHH", number, 0, 6, 1, 6, 9, number))
            if not connection.recv(64):
                print("closed", flush=True)
                return 1
            print(f"written {number}", flush=True)
            select.select([], [], [], PERIOD_S)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2])))
