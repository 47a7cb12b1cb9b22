"""`maps`: some maps of a module for one input at one step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.errors import BadArgumentError
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.reader.probes import probe_of
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, frame_reply

PAGE = 64
MAX_PAGE = 256
ANY = 10**9


def answer(reader: Reader, call: Call) -> Reply:
    """Return pictures, their ranges, and the strength of every map of the module."""
    call.accept("run", "probe", "map", "step", "sample", "first", "count")
    run = reader.run(call.context, call.experiment, call.text("run"))
    probe = probe_of(run, call.text("probe"))
    source = probe.description.maps[_chosen(call, "map", len(probe.description.maps))]
    sheet = probe.sheet(source, _step(call))
    sample = _chosen(call, "sample", len(sheet.pictures))
    first = _chosen(call, "first", ANY, 0)
    count = _chosen(call, "count", ANY, PAGE)
    if count > MAX_PAGE:
        raise BadArgumentError(f"count is at most {MAX_PAGE}, not {count}")
    page = slice(first, first + count)
    pictures, ranges, nonfinite = sheet.pictures[sample], sheet.ranges[sample], sheet.nonfinite[sample]
    return frame_reply(
        {"run": run.name, "revision": run.revision},
        {
            "pictures": pictures[page],
            "ranges": ranges[page],
            "nonfinite": nonfinite[page],
            "strength": strength(pictures, ranges, nonfinite),
        },
    )


def strength(
    pictures: npt.NDArray[np.uint8], ranges: npt.NDArray[np.float32], nonfinite: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the mean magnitude of each map's finite values, [maps].

    Args:
        pictures: [maps, height, width].
        ranges: Values that 0 and 255 stand for, [maps, 2].
        nonfinite: Values that are drawn as the lowest because they are not finite, [maps]; NaN counts as none.
    """
    low, high = ranges.astype(np.float32).T[:, :, None, None]
    bad = np.nan_to_num(nonfinite)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        values = np.abs(low + (high - low) * (pictures / np.float32(255)))
        mean = values.mean(axis=(1, 2), dtype=np.float64)
        share = bad / np.prod(pictures.shape[1:])
        return np.asarray((mean - share * np.abs(ranges[:, 0])) / (1 - share), np.float32)


def _chosen(call: Call, name: str, count: int, default: int | None = None) -> int:
    if default is None:
        call.text(name)
    chosen = call.indices(name, count)
    if chosen is None:
        return default or 0
    if len(chosen) != 1:
        raise BadArgumentError(f"{name} is given {len(chosen)} times")
    return chosen[0]


def _step(call: Call) -> int:
    text = call.text("step")
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # A user's own step may count tokens.
        raise BadArgumentError(f"step is one of the steps of the probe, not {text[:60]!r}")
    return int(text)
