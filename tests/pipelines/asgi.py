"""A client for ASGI applications in the same process."""

import asyncio
from typing import Any

import httpx
from starlette.types import ASGIApp


def posted(app: ASGIApp, path: str, **files: bytes) -> tuple[int, Any]:
    """Return the status and the JSON that an application answers to a form of files."""

    async def post() -> httpx.Response:
        # Errors of the application are answers of status 500
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            named = {field: (f"{field}.jpg", data) for field, data in files.items()}
            return await client.post(path, files=named)

    answer = asyncio.run(post())
    return answer.status_code, answer.json()
