"""Sessions and their turns, without a network."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from cgt.serve.refusals import Refusal
from cgt.serve.service import Service
from conftest import inverse_graph, picture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inverse_graph(tmp_path_factory.mktemp("serve") / "inverse.onnx")


def service(model: Path, **settings: object) -> Service:
    return Service([model], "onnxruntime", **settings)  # type: ignore[arg-type]


def test_an_offer_is_answered(model: Path) -> None:
    async def main() -> None:
        with service(model) as server, server.sessions.open() as session:
            image = picture(0, 64, 64)
            await session.choose(server.catalog.choice({"size": "64"}))
            session.offer(image, tag="a")
            answer = await session.answer()
            assert answer is not None
            assert answer.tag == "a"
            np.testing.assert_array_equal(answer.translated, 255 - image)
            assert answer.offered <= answer.began <= answer.done
            assert (session.frames, session.dropped) == (1, 0)

    asyncio.run(main())


def test_the_newest_wins_and_the_others_are_counted(model: Path) -> None:
    async def main() -> None:
        with service(model) as server, server.sessions.open() as session:
            held = threading.Event()
            translate = server.translators.translate
            server.translators.translate = lambda *args: (held.wait(), translate(*args))[1]
            session.offer(picture(0, 64, 64), tag=0)
            while session._picture is not None:
                await asyncio.sleep(0.01)
            for tag in range(1, 6):
                session.offer(picture(tag, 64, 64), tag=tag)
            held.set()
            answers = [await session.answer() for _ in range(2)]
            assert [answer.tag for answer in answers] == [0, 5]
            assert session.dropped == 4

    asyncio.run(main())


def test_one_too_many_is_told_to_wait(model: Path) -> None:
    async def main() -> None:
        with service(model, most=2) as server:
            first, _ = server.sessions.open(), server.sessions.open()
            with pytest.raises(Refusal, match="wait") as refused:
                server.sessions.open()
            assert (refused.value.status, refused.value.retry_after) == (429, 5)
            server.sessions.open(counted=False).close()
            first.close()
            server.sessions.open()

    asyncio.run(main())


def test_a_closed_session_answers_none(model: Path) -> None:
    async def main() -> None:
        with service(model) as server:
            session = server.sessions.open()
            waiting = asyncio.create_task(session.answer())
            await asyncio.sleep(0.01)
            session.close()
            assert await waiting is None
            session.offer(picture(0, 64, 64))
            assert await session.answer() is None
            assert server.sessions.count == 0

    asyncio.run(main())
