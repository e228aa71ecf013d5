"""A stream can be closed while somebody reads from it, and closing never waits for the server."""

from __future__ import annotations

import asyncio
import threading
import time

from llmkit import AsyncClient, Client, Instance, StreamInterrupted
from llmkit.simulator import Simulator


def _instance(simulator: Simulator) -> Instance:
    return Instance("openai", "m", api_key="k1", base_url=simulator.base_url("openai"))


def test_close_from_another_thread_does_not_wait_for_a_silent_server() -> None:
    with Simulator(faults=["stall_mid:20"]) as simulator, Client([_instance(simulator)]) as client:
        stream = client.stream("a long answer")
        errors: list[BaseException] = []

        def read() -> None:
            try:
                for _ in stream:
                    pass
            except BaseException as error:
                errors.append(error)

        with stream:
            reader = threading.Thread(target=read)
            reader.start()
            time.sleep(0.3)
            begin = time.monotonic()
            stream.close()
            reader.join(2)
            assert time.monotonic() - begin < 1
        assert not reader.is_alive()
        assert [type(error) for error in errors] == [StreamInterrupted]
        assert client.health()[0].in_flight == 0


def test_close_from_another_task() -> None:
    async def main() -> None:
        async with AsyncClient([_instance(simulator)]) as client:
            stream = client.stream("a long answer")

            async def read() -> None:
                async for _ in stream:
                    pass

            async with stream:
                reader = asyncio.ensure_future(read())
                await asyncio.sleep(0.3)
                await stream.close()
                result = (await asyncio.wait_for(asyncio.gather(reader, return_exceptions=True), 2))[0]
            assert isinstance(result, StreamInterrupted)
            assert (await client.health())[0].in_flight == 0

    with Simulator(faults=["stall_mid:20"]) as simulator:
        asyncio.run(main())
