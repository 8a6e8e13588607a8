"""Tests of sessions, scheduler and batches, without a network."""

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


def open_service(model: Path, **settings: object) -> Service:
    return Service([model], "onnxruntime", **settings)  # type: ignore[arg-type]


def test_submitted_frame_is_translated(model: Path) -> None:
    async def main() -> None:
        with open_service(model) as server, server.sessions.open() as session:
            image = make_image(0, 64, 64)
            await session.select_model(server.catalog.parse_selection({"size": "64"}))
            session.submit(image, tag="a")
            result = await session.next_result()
            assert result is not None
            assert result.tag == "a"
            np.testing.assert_array_equal(result.translated, 255 - image)
            assert result.submitted_at <= result.started_at <= result.finished_at
            assert (session.frames_translated, session.frames_dropped) == (1, 0)

    asyncio.run(main())


def test_newest_frame_replaces_waiting_ones(model: Path) -> None:
    async def main() -> None:
        with open_service(model) as server, server.sessions.open() as session:
            resume = threading.Event()
            translate = server.translators.translate
            server.translators.translate = lambda *args: (resume.wait(), translate(*args))[1]
            session.submit(make_image(0, 64, 64), tag=0)
            while session._pending is not None:
                await asyncio.sleep(0.01)
            for tag in range(1, 6):
                session.submit(make_image(tag, 64, 64), tag=tag)
            resume.set()
            results = [await session.next_result() for _ in range(2)]
            assert [result.tag for result in results] == [0, 5]
            assert session.frames_dropped == 4

    asyncio.run(main())


def test_limit_of_sessions(model: Path) -> None:
    async def main() -> None:
        with open_service(model, max_sessions=2) as server:
            first, _ = server.sessions.open(), server.sessions.open()
            with pytest.raises(HttpError, match="in use") as error:
                server.sessions.open()
            assert (error.value.status, error.value.retry_after) == (429, 5)
            server.sessions.open(counted=False).close()
            first.close()
            server.sessions.open()

    asyncio.run(main())


def test_closed_session_returns_none(model: Path) -> None:
    async def main() -> None:
        with open_service(model) as server:
            session = server.sessions.open()
            waiting = asyncio.create_task(session.next_result())
            await asyncio.sleep(0.01)
            session.close()
            assert await waiting is None
            session.submit(make_image(0, 64, 64))
            assert await session.next_result() is None
            assert server.sessions.client_count == 0

    asyncio.run(main())


def test_clients_get_equal_shares(model: Path) -> None:
    """Compare a client that submits all the time with a slow one; a third fetches no results."""

    async def main() -> None:
        with open_service(model) as server:
            greedy, modest, idle = (server.sessions.open() for _ in range(3))
            turns: list[str] = []
            translate = server.translators.translate

            def recorded(selection: ModelSelection, images: list[np.ndarray]) -> list[np.ndarray]:
                turns.extend("gmi"[image[0, 0, 0]] for image in images)
                return translate(selection, images)

            server.translators.translate = recorded  # type: ignore[method-assign]
            images = [np.full((256, 256, 3), number, np.uint8) for number in range(3)]

            async def submit(session: Session, image: np.ndarray, times: int) -> None:
                for _ in range(times):
                    session.submit(image)
                    await asyncio.sleep(0)

            async def client(session: Session, image: np.ndarray, times: int) -> None:
                while len(turns) < 120:
                    idle.submit(images[2])
                    await submit(session, image, times)
                    await session.next_result()

            await asyncio.gather(client(greedy, images[0], 50), client(modest, images[1], 1))
            assert (
                turns.count("i") == 1
            )  # its result is not fetched, so no further frame is translated
            assert 0.8 < turns.count("g") / turns.count("m") < 1.25
            assert greedy.frames_dropped > 1000

    asyncio.run(main())


def test_session_continues_after_an_error(model: Path) -> None:
    async def main() -> None:
        with open_service(model) as server, server.sessions.open() as session:
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


def test_engine_is_shared_by_all_sizes(model: Path) -> None:
    """Check that selections of one model share its engine, and that few translators are kept."""

    async def main() -> None:
        with open_service(model) as server, server.sessions.open() as session:
            for side in range(17, 97):
                await session.select_model(server.catalog.parse_selection({"size": str(side)}))
                image = make_image(0, 64, side)
                session.submit(image)
                result = await session.next_result()
                assert result is not None
                assert result.translated is not None
                assert result.translated.shape == image.shape
            assert len(server.translators._engines) == 1
            assert len(server.translators._translators) == 32

    asyncio.run(main())


@pytest.mark.parametrize("min_batch", [0, 2, 3])
def test_batches_if_the_engine_is_faster_with_them(
    model: Path, min_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate the measurement; the batch engine is real."""
    monkeypatch.setattr(BatchSpeedup, "cached_min_batch", None)
    monkeypatch.setattr(BatchSpeedup, "measure_min_batch", lambda *_: min_batch)

    async def main() -> None:
        with open_service(model) as server:
            sizes: list[int] = []
            resume = threading.Event()
            translate = server.translators.translate

            def recorded(selection: ModelSelection, images: list[np.ndarray]) -> list[np.ndarray]:
                resume.wait()
                sizes.append(len(images))
                return translate(selection, images)

            server.translators.translate = recorded  # type: ignore[method-assign]
            selection = server.catalog.parse_selection({"size": "source"})
            sessions = [server.sessions.open(selection) for _ in range(8)]
            for number, session in enumerate(sessions):
                # The first blocks the thread until all are in the queue; the last has another size.
                session.submit(make_image(number, 64, 64 if number < 7 else 48))
                while number == 0 and session._pending is not None:
                    await asyncio.sleep(0)
            resume.set()
            for number, session in enumerate(sessions):
                result = await session.next_result()
                assert result is not None
                expected = 255 - make_image(number, 64, 64 if number < 7 else 48)
                np.testing.assert_array_equal(result.translated, expected)
            assert sizes == {0: [1] * 8, 2: [1, 4, 2, 1], 3: [1, 4, 1, 1, 1]}[min_batch]

    asyncio.run(main())


def test_batch_speedup_is_cached(model: Path) -> None:
    with open_service(model) as server:
        engines = server.translators._engines["inverse", "auto"]
        speedup = BatchSpeedup(model, engines.single)
        assert speedup.cached_min_batch in (0, 2, 3, 4)
        assert speedup.cached_min_batch == engines.min_batch
