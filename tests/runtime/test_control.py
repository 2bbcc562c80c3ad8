"""The control socket: answers, refusals, one server a path, and a client that says when nobody is there."""

import asyncio
import contextlib
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from runtime import control


def conversation(path: Path, *requests: tuple[Any, dict[str, int]]) -> list[dict[str, object]]:
    async def inside() -> list[dict[str, object]]:
        async def slow(request: object) -> dict[str, object]:
            return {"slow": True}

        server = await control.serve(path, {"double": lambda request: {"result": 2 * request["n"]}, "slow": slow})
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        answers = [await asyncio.to_thread(control.ask, path, do, **fields) for do, fields in requests]
        server.close()
        return answers

    return asyncio.run(inside())


def test_a_command_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    assert conversation(path, ("double", {"n": 21}), ("slow", {})) == [
        {"ok": True, "result": 42},
        {"ok": True, "slow": True},
    ]


@pytest.mark.parametrize("command", ["fly", ["double"], {"double": 1}, None])
def test_an_unknown_command_is_refused_with_the_known_ones(tmp_path: Path, command: Any) -> None:
    [answer] = conversation(tmp_path / "control.sock", (command, {}))
    assert answer["ok"] is False
    assert "double" in str(answer["remedy"])


def test_a_request_that_nests_deeply_is_refused_like_any_other(tmp_path: Path) -> None:
    """Symptom: it was an error of ours, and whoever had asked heard nothing."""

    async def inside() -> bytes:
        server = await control.serve(tmp_path / "control.sock", {})
        reader, writer = await asyncio.open_unix_connection(tmp_path / "control.sock")
        writer.write(b"[" * 10_000 + b"\n")
        answer = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        server.close()
        return answer

    assert b"not a JSON object" in asyncio.run(inside())


def test_nobody_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(control.Unreachable):
        control.ask(tmp_path / "nothing.sock", "status")


def test_a_second_server_on_a_path_is_refused_and_a_stale_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def inside() -> None:
        server = await control.serve(path, {})
        with pytest.raises(control.Unreachable):
            await control.serve(path, {})
        server.close()
        again = await control.serve(path, {})
        again.close()

    asyncio.run(inside())


def test_a_process_too_busy_to_answer_is_there_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    assert not control.is_served(path)
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as waiting:
        listener.bind(str(path))
        listener.listen(1)
        for _ in range(5):  # more than the queue takes
            assert control.is_served(path)
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(path))
    assert not control.is_served(path)  # a file that a killed process left
