"""WebRTC clients in a process of their own: webrtc_clients.py URL COUNT.

Prints "translated" once all clients are connected and one has received a translation. Runs until it
is killed.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

import numpy as np
from support.webrtc_client import WebRTCClient


async def main(url: str, count: int) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    translated = asyncio.Event()
    async with AsyncExitStack() as clients:
        for _ in range(count):
            client = WebRTCClient(url, lambda _: image, lambda *_: translated.set(), rate=2)
            await clients.enter_async_context(client)
        await translated.wait()
        print("translated", flush=True)
        await asyncio.sleep(600)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
