"""The resources of docs/http-api.md, one module each. To add one: write its module, add a line to ROUTES."""

from __future__ import annotations

from collections.abc import Callable

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes import (
    bins,
    catalogue,
    cost,
    dead,
    deaths,
    embeddings,
    findings,
    layer_similarity,
    layout,
    maps,
    measures,
    metrics,
    point_labels,
    points,
    probe_inputs,
    probes,
    redundant,
    run,
    runs,
    series,
    similarity,
    thumbnails,
    units,
)
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply

Route = Callable[[Reader, Call], Reply]

ROUTES: dict[str, Route] = {
    "catalogue": catalogue.answer,
    "runs": runs.answer,
    "run": run.answer,
    "series": series.answer,
    "bins": bins.answer,
    "metrics": metrics.answer,
    "findings": findings.answer,
    "cost": cost.answer,
    "dead": dead.answer,
    "units": units.answer,
    "deaths": deaths.answer,
    "redundant": redundant.answer,
    "probes": probes.answer,
    "probe_inputs": probe_inputs.answer,
    "maps": maps.answer,
    "embeddings": embeddings.answer,
    "layout": layout.answer,
    "measures": measures.answer,
    "points": points.answer,
    "point_labels": point_labels.answer,
    "thumbnails": thumbnails.answer,
    "similarity": similarity.answer,
    "layer_similarity": layer_similarity.answer,
}
