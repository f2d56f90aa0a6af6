"""Starts the server, sends it a text over a websocket, prints the answer."""
import argparse
import asyncio
import subprocess

from websockets.asyncio.client import unix_connect
from websockets.exceptions import WebSocketException

SOCKET = "/tmp/echo.sock"
SERVER = ["uvicorn", "--uds", SOCKET, "--log-level", "warning", "app:app"]


async def echo(text):
    for _ in range(100):
        try:
            async with unix_connect(SOCKET, "ws://localhost/echo") as socket:
                await socket.send(text)
                return await socket.recv()
        except (OSError, WebSocketException):
            await asyncio.sleep(0.2)
    raise SystemExit("the server does not answer")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--echo", default="hello")
    text = parser.parse_args().echo
    server = subprocess.Popen(SERVER)
    try:
        print(asyncio.run(echo(text)))
    finally:
        server.terminate()
        print("exit code", server.wait())
