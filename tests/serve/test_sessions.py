"""Sessions and their turns, without a network."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from cgt.runtime.errors import EngineError
from cgt.serve.api.errors import HttpError
from cgt.serve.models import ModelSelection
from cgt.serve.scheduling.sessions import Session
from cgt.serve.scheduling.translators import BatchSpeedup
from cgt.serve.service import Service
from conftest import make_image, write_inverse_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inverse_model(tmp_path_factory.mktemp("serve") / "inverse.onnx")


def service(model: Path, **settings: object) -> Service:
    return Service([model], "onnxruntime", **settings)  # type: ignore[arg-type]


def test_an_offer_is_answered(model: Path) -> None:
    async def main() -> None:
        with service(model) as server, server.sessions.open() as session:
            image = make_image(0, 64, 64)
            await session.select_model(server.catalog.parse_selection({"size": "64"}))
            session.submit(image, tag="a")
            answer = await session.next_result()
            assert answer is not None
            assert answer.tag == "a"
            np.testing.assert_array_equal(answer.translated, 255 - image)
            assert answer.submitted_at <= answer.started_at <= answer.finished_at
            assert (session.frames_translated, session.frames_dropped) == (1, 0)

    asyncio.run(main())


def test_the_newest_wins_and_the_others_are_counted(model: Path) -> None:
    async def main() -> None:
        with service(model) as server, server.sessions.open() as session:
            held = threading.Event()
            translate = server.translators.translate
            server.translators.translate = lambda *args: (held.wait(), translate(*args))[1]
            session.submit(make_image(0, 64, 64), tag=0)
            while session._pending is not None:
                await asyncio.sleep(0.01)
            for tag in range(1, 6):
                session.submit(make_image(tag, 64, 64), tag=tag)
            held.set()
            answers = [await session.next_result() for _ in range(2)]
            assert [answer.tag for answer in answers] == [0, 5]
            assert session.frames_dropped == 4

    asyncio.run(main())


def test_one_too_many_is_told_to_wait(model: Path) -> None:
    async def main() -> None:
        with service(model, max_sessions=2) as server:
            first, _ = server.sessions.open(), server.sessions.open()
            with pytest.raises(HttpError, match="wait") as refused:
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
            waiting = asyncio.create_task(session.next_result())
            await asyncio.sleep(0.01)
            session.close()
            assert await waiting is None
            session.submit(make_image(0, 64, 64))
            assert await session.next_result() is None
            assert server.sessions.client_count == 0

    asyncio.run(main())


def test_shares_are_fair_whatever_is_offered(model: Path) -> None:
    """One offers all the time, one now and then, one takes no answers."""

    async def main() -> None:
        with service(model) as server:
            greedy, modest, idle = (server.sessions.open() for _ in range(3))
            turns: list[str] = []
            translate = server.translators.translate

            def noted(choice: ModelSelection, images: list[np.ndarray]) -> list[np.ndarray]:
                turns.extend("gmi"[image[0, 0, 0]] for image in images)
                return translate(choice, images)

            server.translators.translate = noted  # type: ignore[method-assign]
            images = [np.full((16, 16, 3), number, np.uint8) for number in range(3)]

            async def offer(session: Session, image: np.ndarray, times: int) -> None:
                for _ in range(times):
                    session.submit(image)
                    await asyncio.sleep(0)

            async def client(session: Session, image: np.ndarray, times: int) -> None:
                while len(turns) < 120:
                    idle.submit(images[2])
                    await offer(session, image, times)
                    await session.next_result()

            await asyncio.gather(client(greedy, images[0], 50), client(modest, images[1], 1))
            assert turns.count("i") == 1  # its answer waits; nothing is translated in vain
            assert 0.8 < turns.count("g") / turns.count("m") < 1.25
            assert greedy.frames_dropped > 1000

    asyncio.run(main())


def test_a_picture_that_fails_ends_nothing(model: Path) -> None:
    async def main() -> None:
        with service(model) as server, server.sessions.open() as session:
            await session.select_model(server.catalog.parse_selection({"size": "source"}))
            session.submit(np.zeros((8, 8, 3), np.uint8))
            with pytest.raises(HttpError, match="too small"):
                await session.next_result()
            translate = server.translators.translate
            server.translators.translate = lambda *_: 1 / 0  # type: ignore[method-assign]
            session.submit(make_image(0, 64, 64))
            with pytest.raises(EngineError, match="ZeroDivisionError"):
                await session.next_result()
            server.translators.translate = translate  # type: ignore[method-assign]
            session.submit(make_image(0, 64, 64))
            assert await session.next_result() is not None
            assert session.frames_translated == 1

    asyncio.run(main())


def test_sizes_come_and_go(model: Path) -> None:
    """Choices of one model share its engine, and few translators are kept."""

    async def main() -> None:
        with service(model) as server, server.sessions.open() as session:
            for side in range(17, 97):
                await session.select_model(server.catalog.parse_selection({"size": str(side)}))
                image = make_image(0, 64, side)
                session.submit(image)
                answer = await session.next_result()
                assert answer is not None
                assert answer.translated is not None
                assert answer.translated.shape == (side, side, 3)
            assert len(server.translators._engines) == 1
            assert len(server.translators._translators) == 32

    asyncio.run(main())


@pytest.mark.parametrize("gain", [0, 2, 3])
def test_several_at_once_where_the_engine_gains(
    model: Path, gain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measurement is simulated; the engine of four is real."""
    monkeypatch.setattr(BatchSpeedup, "cached_min_batch", None)
    monkeypatch.setattr(BatchSpeedup, "measure_min_batch", lambda *_: gain)

    async def main() -> None:
        with service(model) as server:
            sizes: list[int] = []
            held = threading.Event()
            translate = server.translators.translate

            def noted(choice: ModelSelection, images: list[np.ndarray]) -> list[np.ndarray]:
                held.wait()
                sizes.append(len(images))
                return translate(choice, images)

            server.translators.translate = noted  # type: ignore[method-assign]
            choice = server.catalog.parse_selection({"size": "source"})
            sessions = [server.sessions.open(choice) for _ in range(8)]
            for number, session in enumerate(sessions):
                # The first holds the thread until all stand in the row; the last has another size.
                session.submit(make_image(number, 64, 64 if number < 7 else 48))
                while number == 0 and session._pending is not None:
                    await asyncio.sleep(0)
            held.set()
            for number, session in enumerate(sessions):
                answer = await session.next_result()
                assert answer is not None
                expected = 255 - make_image(number, 64, 64 if number < 7 else 48)
                np.testing.assert_array_equal(answer.translated, expected)
            assert sizes == {0: [1] * 8, 2: [1, 4, 2, 1], 3: [1, 4, 1, 1, 1]}[gain]

    asyncio.run(main())


def test_the_gain_is_measured_once(model: Path) -> None:
    with service(model) as server:
        engines = server.translators._engines["inverse", "auto"]
        gains = BatchSpeedup(model, engines.single)
        assert gains.cached_min_batch in (0, 2, 3, 4)
        assert gains.cached_min_batch == engines.min_batch
