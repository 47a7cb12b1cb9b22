"""What events hold, for tests of those who write them."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.schema.codec import decode_description, decode_metadata
from tb_netviz_plugin.schema.columns import METRIC_COLUMNS, STEP_COLUMNS
from tb_netviz_plugin.schema.tags import Family, parse

_TYPES = {1: "<f4", 17: "<u2"}


def arrays(event):
    """Return {tag: array} of our numbers in an event."""
    return {
        value.tag: np.frombuffer(value.tensor.tensor_content, _TYPES[value.tensor.dtype]).reshape(
            [dim.size for dim in value.tensor.tensor_shape.dim]
        )
        for value in event.summary.value
        if value.tensor.tensor_content
    }


def of_family(event, family):
    """Return {tag: array} of one family."""
    return {tag: array for tag, array in arrays(event).items() if parse(tag) == (1, family)}


def records(events):
    """Return the events that hold a record of parameters or steps."""
    return [event for event in events if of_family(event, Family.STEPS)]


def steps(event):
    """Return {column: value} of the record's steps."""
    (array,) = of_family(event, Family.STEPS).values()
    return dict(zip((column.id for column in STEP_COLUMNS), array.tolist(), strict=True))


def parameters(event):
    """Return the planes [1 or 3, rows, columns] of a record in one chunk."""
    (array,) = of_family(event, Family.PARAMETERS).values()
    return array


def descriptions(events):
    """Return [(tag, step, description)]."""
    return [
        (value.tag, event.step, decode_description(value.tensor.string_val[0]))
        for event in events
        for value in event.summary.value
        if decode_metadata(value.metadata.plugin_data.content).family == Family.DESCRIPTION
    ]


def metrics(events):
    """Return [(name, role, step, {column: value})]."""
    found = []
    for event in events:
        for value in event.summary.value:
            metadata = decode_metadata(value.metadata.plugin_data.content)
            if metadata.family == Family.METRIC:
                columns = zip((column.id for column in METRIC_COLUMNS), arrays(event)[value.tag].tolist(), strict=True)
                found.append((metadata.metric, metadata.role, event.step, dict(columns)))
    return found
