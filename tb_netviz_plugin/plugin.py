"""The plugin as TensorBoard sees it: its name, its tab, its routes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tensorboard.plugins import base_plugin

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes import ROUTES, static
from tb_netviz_plugin.routes.reply import application
from tb_netviz_plugin.schema.tags import PLUGIN_NAME

TAB_NAME = "Gradient Flow"
_ENTRY = "/index.js"


class NetVizPlugin(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard has no types.
    """Serves the tab and its data.

    Args:
        context: TensorBoard's TBContext.
    """

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._reader = Reader(context.data_provider, (context.sampling_hints or {}).get(PLUGIN_NAME))

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        """Return the WSGI applications by route."""
        resources = {f"/{name}": application(partial(answer, self._reader)) for name, answer in ROUTES.items()}
        return static.applications() | resources

    def is_active(self) -> bool:
        """Return False: TensorBoard itself offers the tab as soon as `data_plugin_names` has data."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Return the tab's name and its entry module."""
        return base_plugin.FrontendMetadata(es_module_path=_ENTRY, tab_name=TAB_NAME)
