"""Over http on this machine: the same main job, in both eras."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, ErrorData

from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running
from tests.office import ERAS, RELEASE, Era, environment, structured


@pytest.mark.anyio
@pytest.mark.parametrize("era", ERAS)
async def test_the_main_job_over_http(tmp_path: Path, era: Era) -> None:
    portal = SandboxPortal()

    async def yes(
        context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult | ErrorData:
        return ElicitResult(action="accept", content={"username": "jsmith"})

    async with running(portal) as url:
        with serving(environment(url, tmp_path)) as address:
            async with Client(address, mode=era, elicitation_callback=yes) as client:
                told = structured(await client.call_tool("release_license", RELEASE))
    assert (told["status"], told["verified"]) == ("released", True)
    assert len(portal.releases) == 1


@contextmanager
def serving(env: dict[str, str]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = subprocess.Popen(
        [sys.executable, "-m", "server", "serve", "--transport", "http", "--port", str(port)],
        stderr=subprocess.PIPE,
        env={**os.environ, **env, "LOG_LEVEL": "INFO"},
    )
    try:
        assert child.stderr is not None
        for line in child.stderr:
            if b"running on" in line:
                break
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        child.kill()
        child.communicate()
