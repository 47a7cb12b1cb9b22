"""The built front end, from a fixed dictionary that is filled once. A request never names a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from werkzeug.wrappers import Request, Response

from tb_netviz_plugin.routes.reply import Reply, respond

MEDIA_TYPES: dict[str, str] = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".map": "application/json",
    ".txt": "text/plain",
}


def applications() -> dict[str, Callable[..., Any]]:
    """Return a WSGI application for each file of static/ whose type is known, by its route."""
    folder = resources.files("tb_netviz_plugin") / "static"
    if not folder.is_dir():
        return {}
    return {
        f"/{entry.name}": _application(entry.read_bytes(), MEDIA_TYPES[PurePosixPath(entry.name).suffix])
        for entry in folder.iterdir()
        if entry.is_file() and PurePosixPath(entry.name).suffix in MEDIA_TYPES
    }


def _application(content: bytes, media_type: str) -> Callable[..., Any]:
    tag = f'"{hashlib.blake2b(content, digest_size=8).hexdigest()}"'

    def serve(request: Request) -> Response:
        if request.headers.get("If-None-Match") == tag:
            return Response(status=304, headers=[("ETag", tag)])
        # The names carry no hash, so a browser asks each time, and mostly hears that nothing changed.
        return respond(request, Reply(content, media_type), headers=[("ETag", tag)])

    wsgi: Callable[..., Any] = Request.application(serve)
    return wsgi
