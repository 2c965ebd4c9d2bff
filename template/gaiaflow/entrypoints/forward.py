"""Forward connections from the cluster's gateway to servers that listen only on 127.0.0.1.

    python -m gaiaflow.entrypoints.forward GATEWAY PORT ...

The cluster's pods can reach the gateway, other machines can't. Standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_CHUNK = 65536  # bytes


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()


async def _serve(gateway: str, port: int) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:  # the server is down: let the pod see that
            writer.close()
            return
        try:
            await asyncio.gather(_pass(reader, inner_writer), _pass(inner_reader, writer))
        finally:
            inner_writer.close()
            writer.close()

    server = await asyncio.start_server(connect, gateway, port)
    async with server:
        await server.serve_forever()


async def _main(gateway: str, ports: list[int]) -> None:
    await asyncio.gather(*(_serve(gateway, port) for port in ports))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(sys.argv[1], [int(port) for port in sys.argv[2:]]))
