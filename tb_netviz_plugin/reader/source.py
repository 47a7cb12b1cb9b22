"""DataProvider as one request sees it.

It has two implementations, the Rust data server and the Python loader. What differs between them ends
here and in `analysis/records.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.data import provider as data_provider
from tensorboard.errors import NotFoundError as MissingError

from tb_netviz_plugin.errors import NotFoundError, UnreadableError
from tb_netviz_plugin.schema.tags import PLUGIN_NAME

_EVERYTHING = 1_000_000
"""More records than any loader keeps. Never 0, which would mean none."""


class Source:
    """Where the data of one experiment come from.

    Args:
        provider: TensorBoard's DataProvider.
        context: The request's context, which may carry credentials.
        experiment: Id of the experiment.
        limit: Records of a tag that TensorBoard keeps, 0 for all of them, None if that is unknown.
    """

    def __init__(self, provider: Any, context: Any, experiment: str, limit: int | None) -> None:
        self.experiment = experiment
        self.limit = limit
        self._provider = provider
        self._context = context

    def series(self, runs: Sequence[str] | None = None) -> Mapping[str, Mapping[str, Any]]:
        """Return the TensorTimeSeries of ours by run and tag, of all runs or of these."""
        listed: Mapping[str, Mapping[str, Any]] = self._provider.list_tensors(
            self._context,
            experiment_id=self.experiment,
            plugin_name=PLUGIN_NAME,
            run_tag_filter=data_provider.RunTagFilter(runs=runs),
        )
        return listed

    def tensors(self, run: str, tag: str, most: int | None = None) -> Sequence[Any]:
        """Return all TensorDatum of one tag. A tag a call: together they could pass the cap of gRPC.

        Args:
            run: TensorBoard's name of the run.
            tag: The tag.
            most: Return no more than so many, the one that was written last among them.

        Raises:
            NotFoundError: If the run is gone.
            UnreadableError: If a record is damaged in a way that TensorBoard's data server did not notice: it
                compares no checksums, unless it is started with --extra_data_server_flags=--checksum.
        """
        try:
            found = self._provider.read_tensors(
                self._context,
                experiment_id=self.experiment,
                plugin_name=PLUGIN_NAME,
                downsample=most or self.limit or _EVERYTHING,
                run_tag_filter=data_provider.RunTagFilter(runs=[run], tags=[tag]),
            )
        except MissingError as error:
            raise NotFoundError("the run disappeared while it was read") from error
        except (ValueError, TypeError, LookupError, MemoryError) as error:  # What decoding a tensor raises.
            raise UnreadableError("TensorBoard can't decode a record of this run; the event file is damaged") from error
        data: Sequence[Any] = found.get(run, {}).get(tag, ())
        return data
