import asyncio

from sentinel.clock import SystemClock
from sentinel.measure.strangers import write_once


async def test_a_stranger_writes_once_and_says_when() -> None:
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readexactly(12))
        writer.write(came[-1])
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        before = SystemClock().now()
        at = await write_once(f"{host}:{port}", "127.0.0.77")
    assert before <= at <= SystemClock().now()
    assert came == [bytes.fromhex("000100000006 01 06 0000 04ab")]
