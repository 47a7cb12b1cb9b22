"""Hypothesis strategies for what the schema describes. Names are hostile text, numbers go to their limits."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tb_netviz_plugin.schema.columns import PARAMETER_COLUMNS
from tb_netviz_plugin.schema.description import (
    Activation,
    Chunk,
    Edge,
    Module,
    Omission,
    OptimizerGroup,
    Parameter,
    Response,
    RunDescription,
    Schedule,
)
from tb_netviz_plugin.schema.tags import Family

HOSTILE_NAMES = (
    "",
    "<img src=x onerror=alert(1)>",
    "../../x",
    "two\nlines",
    "\x1f",
    "nul\x00",
    "😀",
    "x" * 500,
    "netviz/v1/parameters/00",
)

uint32 = st.integers(0, 2**32 - 1)
names = st.sampled_from(HOSTILE_NAMES) | st.text(st.characters(exclude_categories=["Cs"]))
"""Text that UTF-8 can carry."""
any_names = names | st.text(st.characters(categories=["Cs", "L"]))
"""Also text with lone surrogates, such as undecodable file names."""
shapes = st.lists(st.integers(0, 2**40), max_size=5).map(tuple)
finite = st.floats(allow_nan=False)

modules = st.builds(Module, name=names, type=names, input_shape=shapes, output_shape=shapes, detail=names)
parameters = st.builds(
    Parameter,
    name=names,
    owner=uint32,
    shape=shapes,
    dtype=names,
    frozen=st.booleans(),
    group=st.none() | st.integers(0, 2**32 - 2),
)
activations = st.builds(
    Activation,
    name=names,
    module=uint32,
    kind=names,
    response=st.sampled_from(Response),
    units=uint32,
    unit=names,
    shape=shapes,
    source=st.none() | st.integers(0, 2**32 - 2),
    place=names,
)
columns = st.lists(st.sampled_from([column.id for column in PARAMETER_COLUMNS]), unique=True).map(tuple)
chunks = st.builds(Chunk, tag=names, family=names, first_row=uint32, rows=uint32, columns=columns)


def _tuples(items):
    return st.lists(items, max_size=4).map(tuple)


descriptions = st.builds(
    RunDescription,
    writer=names,
    framework=names,
    model=names,
    modules=_tuples(modules),
    parameters=_tuples(parameters),
    activations=_tuples(activations),
    edges=_tuples(st.builds(Edge, source=uint32, target=uint32)),
    groups=_tuples(st.builds(OptimizerGroup, optimizer=names, index=uint32, learning_rate=finite)),
    chunks=_tuples(chunks),
    omissions=_tuples(st.builds(Omission, subject=names, reason=names)),
    schedule=st.builds(
        Schedule, budget=finite, every=uint32, records_per_octave=uint32, unit_records_per_octave=uint32
    ),
    criterion=names,
    schema_version=st.just(1),
)

families = st.sampled_from(Family)
stored_types: st.SearchStrategy[np.dtype[Any]] = st.sampled_from([np.dtype(t) for t in ("<f4", ">f4", "<u2", ">u2")])
tensors: st.SearchStrategy[npt.NDArray[Any]] = arrays.arrays(
    dtype=stored_types,
    shape=arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
"""Every array that a tag can hold, in either byte order, with NaN, infinities and empty axes."""
