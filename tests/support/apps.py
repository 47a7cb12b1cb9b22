"""Opens a logdir in TensorBoard's real WSGI application, in this process, over either of its loaders."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import google_crc32c
import numpy as np
import numpy.typing as npt
import tensorboard_data_server
from tensorboard.backend import application
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow
from tensorboard.context import RequestContext
from tensorboard.data.server_ingester import ExistingServerDataIngester
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.util.grpc_util import ChannelCredsType
from werkzeug.test import Client, TestResponse

from tb_netviz_plugin.loader import SAMPLES, NetVizLoader
from tb_netviz_plugin.schema.tags import PLUGIN_NAME
from tests.support.servers import wait_until

LOADERS = ("python", "rust")
Frame = tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]


class App:
    """A TensorBoard with our plugin and a client to it.

    Attributes:
        plugin: Our plugin.
        client: Calls the WSGI application.
        provider: TensorBoard's DataProvider.
        reload: Lets the loader read what is new, and returns once it has.
    """

    def __init__(self, provider: Any, hints: dict[str, int], reload: Callable[[], None]) -> None:
        self.plugin = NetVizLoader().load(TBContext(data_provider=provider, sampling_hints=hints))
        self.client = Client(application.TensorBoardWSGI([self.plugin], data_provider=provider))
        self.provider = provider
        self.reload = reload

    def get(self, route: str, **arguments: Any) -> TestResponse:
        """Return the response of one of our routes."""
        return self.client.get(f"/data/plugin/netviz/{route}", query_string=arguments)

    def json(self, route: str, **arguments: Any) -> Any:
        """Return the JSON of one of our routes, read by a parser that has no NaN."""
        response = self.get(route, **arguments)
        assert response.status_code == 200, response.text
        assert response.content_type == "application/json"
        return parse_json(response.data)

    def frame(self, route: str, **arguments: Any) -> Frame:
        """Return the header and the arrays of one of our routes."""
        response = self.get(route, **arguments)
        assert response.status_code == 200, response.text
        assert response.content_type == "application/octet-stream"
        return decode_frame(response.data)

    def error(self, route: str, **arguments: Any) -> tuple[int, str, str]:
        """Return status, kind and message of a refused request."""
        response = self.get(route, **arguments)
        error = parse_json(response.data)["error"]
        return response.status_code, error["kind"], error["message"]


@contextmanager
def open_app(log_dir: Path, loader: str, *, samples: int | None = SAMPLES, settle: bool = True) -> Iterator[App]:
    """Open `log_dir` while the context lasts.

    Args:
        log_dir: What to read.
        loader: One of LOADERS.
        samples: Records of a tag that are kept, None for TensorBoard's default.
        settle: Whether to wait until the Rust server has read what the Python loader reads.
    """
    hints = {} if samples is None else {PLUGIN_NAME: samples}
    with ExitStack() as stack:
        _use_tensorflow_stub(stack)
        # TensorBoard's own function takes 0.1 s for 1 MB; test_framing.py holds this one to it.
        stack.enter_context(patch.object(pywrap_tensorflow, "crc32c", google_crc32c.value))
        multiplexer = EventMultiplexer(tensor_size_guidance=hints)
        multiplexer.AddRunsFromDirectory(str(log_dir))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(log_dir))
        if loader == "python":
            yield App(provider, hints, multiplexer.Reload)
            return
        fast = stack.enter_context(_rust_provider(log_dir, hints))

        def reload() -> None:
            multiplexer.Reload()
            wait_until(lambda: _latest(fast) == _latest(provider), "the Rust server did not read the log folder")

        if settle:
            reload()
        yield App(fast, hints, reload)


def _use_tensorflow_stub(stack: ExitStack) -> None:
    """Turn TensorBoard's own switch; without, reading a file imports TensorFlow where it is installed."""
    switch = "tensorboard.compat.notf"
    if switch not in sys.modules:
        sys.modules[switch] = ModuleType(switch)
        stack.callback(sys.modules.pop, switch)


@contextmanager
def _rust_provider(log_dir: Path, hints: dict[str, int]) -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as scratch:
        port_file = Path(scratch) / "port"
        command = [tensorboard_data_server.server_binary(), f"--logdir={log_dir}", "--reload=1", "--port=0"]
        command += [f"--port-file={port_file}", "--die-after-stdin"]
        command += [f"--samples-per-plugin={','.join(f'{name}={count}' for name, count in hints.items())}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: port_file.exists() and port_file.read_text().endswith("\n"), "no data server", 20)
                ingester = ExistingServerDataIngester(
                    f"localhost:{port_file.read_text().strip()}", channel_creds_type=ChannelCredsType.LOCAL
                )
                yield ingester.data_provider
            finally:
                process.kill()


def _latest(provider: Any) -> dict[str, dict[str, float]]:
    listed = provider.list_tensors(RequestContext(), experiment_id="", plugin_name=PLUGIN_NAME)
    return {run: {tag: series.max_wall_time for tag, series in tags.items()} for run, tags in listed.items()}


def decode_frame(body: bytes) -> Frame:
    """Return header and arrays of a frame, by docs/http-api.md."""
    (length,) = struct.unpack_from("<I", body)
    header = parse_json(body[4 : 4 + length])
    payload = memoryview(body)[4 + length :]
    assert (4 + length) % 8 == 0
    arrays = {}
    for entry in header["arrays"]:
        dtype = np.dtype(entry["dtype"]).newbyteorder("<")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        assert entry["offset"] % 8 == 0
        arrays[entry["name"]] = np.frombuffer(payload, dtype, count, entry["offset"]).reshape(entry["shape"])
    return header, arrays


def parse_json(text: bytes) -> Any:
    """Return JSON, refusing NaN and infinities, which browsers refuse too."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)
