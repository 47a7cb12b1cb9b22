"""What a resource answers, and how answers and errors become HTTP."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from tensorboard.backend import http_util
from werkzeug.wrappers import Request, Response

from tb_netviz_plugin.errors import NetVizError
from tb_netviz_plugin.routes import frame
from tb_netviz_plugin.routes.call import Call

_JSON = "application/json"
_FRAME = "application/octet-stream"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its bytes and their media type."""

    content: bytes
    media_type: str


def json_reply(content: Mapping[str, Any]) -> Reply:
    """Return a JSON answer; NaN and infinities, which JSON doesn't have, become null."""
    return Reply(json.dumps(_without_nan(content), allow_nan=False, separators=(",", ":")).encode(), _JSON)


def frame_reply(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Reply:
    """Return a frame of `arrays`."""
    return Reply(frame.encode(header, arrays), _FRAME)


def application(answer: Callable[[Call], Reply]) -> Callable[..., Any]:
    """Return the WSGI application of a resource: GET only, errors in words, nothing cached by the browser."""

    def serve(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            error = _error("bad_argument", "this resource can only be read, with GET")
            return respond(request, error, 405, headers=[("Allow", "GET, HEAD")])
        try:
            return respond(request, answer(Call(request)))
        except NetVizError as error:
            return respond(request, _error(error.kind, str(error)), error.status)
        except Exception:
            # Whatever else goes wrong is ours to mend: the log has the traceback, the user hears of it.
            _log.exception("netviz could not answer a request")
            words = "netviz could not answer; TensorBoard's own output has the details"
            return respond(request, _error(NetVizError.kind, words), NetVizError.status)

    wsgi: Callable[..., Any] = Request.application(serve)
    return wsgi


def respond(
    request: Request, reply: Reply, status: int = 200, *, headers: list[tuple[str, str]] | None = None, expires: int = 0
) -> Response:
    """Return `reply` as a response. TensorBoard compresses text where the browser accepts it; frames stay plain."""
    return http_util.Respond(request, reply.content, reply.media_type, status, expires, headers=headers)


def _error(kind: str, message: str) -> Reply:
    return json_reply({"error": {"kind": kind, "message": message}})


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
