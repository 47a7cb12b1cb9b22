from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TagMetadata(_message.Message):
    __slots__ = ("schema_version", "family", "metric", "role")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    family: str
    metric: str
    role: str
    def __init__(self, schema_version: _Optional[int] = ..., family: _Optional[str] = ..., metric: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class RunDescription(_message.Message):
    __slots__ = ("schema_version", "writer", "framework", "model", "modules", "parameters", "edges", "groups", "chunks", "omissions", "schedule", "activations", "criterion")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    OMISSIONS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    CRITERION_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    writer: str
    framework: str
    model: str
    modules: _containers.RepeatedCompositeFieldContainer[Module]
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    edges: _containers.RepeatedCompositeFieldContainer[Edge]
    groups: _containers.RepeatedCompositeFieldContainer[OptimizerGroup]
    chunks: _containers.RepeatedCompositeFieldContainer[Chunk]
    omissions: _containers.RepeatedCompositeFieldContainer[Omission]
    schedule: Schedule
    activations: _containers.RepeatedCompositeFieldContainer[Activation]
    criterion: str
    def __init__(self, schema_version: _Optional[int] = ..., writer: _Optional[str] = ..., framework: _Optional[str] = ..., model: _Optional[str] = ..., modules: _Optional[_Iterable[_Union[Module, _Mapping]]] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[OptimizerGroup, _Mapping]]] = ..., chunks: _Optional[_Iterable[_Union[Chunk, _Mapping]]] = ..., omissions: _Optional[_Iterable[_Union[Omission, _Mapping]]] = ..., schedule: _Optional[_Union[Schedule, _Mapping]] = ..., activations: _Optional[_Iterable[_Union[Activation, _Mapping]]] = ..., criterion: _Optional[str] = ...) -> None: ...

class Module(_message.Message):
    __slots__ = ("name", "type", "input_shape", "output_shape", "detail", "dropout")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHAPE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SHAPE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    DROPOUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    input_shape: _containers.RepeatedScalarFieldContainer[int]
    output_shape: _containers.RepeatedScalarFieldContainer[int]
    detail: str
    dropout: float
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., input_shape: _Optional[_Iterable[int]] = ..., output_shape: _Optional[_Iterable[int]] = ..., detail: _Optional[str] = ..., dropout: _Optional[float] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "owner", "shape", "dtype", "frozen", "group")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    name: str
    owner: int
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    frozen: bool
    group: int
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[int] = ..., shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ..., frozen: bool = ..., group: _Optional[int] = ...) -> None: ...

class Activation(_message.Message):
    __slots__ = ("name", "module", "kind", "response", "units", "unit", "shape", "source", "place", "dtype")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    module: int
    kind: str
    response: str
    units: int
    unit: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    source: int
    place: str
    dtype: str
    def __init__(self, name: _Optional[str] = ..., module: _Optional[int] = ..., kind: _Optional[str] = ..., response: _Optional[str] = ..., units: _Optional[int] = ..., unit: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., source: _Optional[int] = ..., place: _Optional[str] = ..., dtype: _Optional[str] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: int
    target: int
    def __init__(self, source: _Optional[int] = ..., target: _Optional[int] = ...) -> None: ...

class OptimizerGroup(_message.Message):
    __slots__ = ("optimizer", "index", "learning_rate", "settings")
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    optimizer: str
    index: int
    learning_rate: float
    settings: _containers.RepeatedCompositeFieldContainer[Setting]
    def __init__(self, optimizer: _Optional[str] = ..., index: _Optional[int] = ..., learning_rate: _Optional[float] = ..., settings: _Optional[_Iterable[_Union[Setting, _Mapping]]] = ...) -> None: ...

class Setting(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("tag", "family", "first_row", "rows", "columns")
    TAG_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    FIRST_ROW_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    tag: str
    family: str
    first_row: int
    rows: int
    columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tag: _Optional[str] = ..., family: _Optional[str] = ..., first_row: _Optional[int] = ..., rows: _Optional[int] = ..., columns: _Optional[_Iterable[str]] = ...) -> None: ...

class Omission(_message.Message):
    __slots__ = ("subject", "reason")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    subject: str
    reason: str
    def __init__(self, subject: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Schedule(_message.Message):
    __slots__ = ("budget", "every", "records_per_octave", "unit_records_per_octave")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    RECORDS_PER_OCTAVE_FIELD_NUMBER: _ClassVar[int]
    UNIT_RECORDS_PER_OCTAVE_FIELD_NUMBER: _ClassVar[int]
    budget: float
    every: int
    records_per_octave: int
    unit_records_per_octave: int
    def __init__(self, budget: _Optional[float] = ..., every: _Optional[int] = ..., records_per_octave: _Optional[int] = ..., unit_records_per_octave: _Optional[int] = ...) -> None: ...

class ProbeDescription(_message.Message):
    __slots__ = ("schema_version", "model", "name", "kind", "labels", "inputs", "maps", "budget", "omissions")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    OMISSIONS_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    model: str
    name: str
    kind: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    inputs: str
    maps: _containers.RepeatedCompositeFieldContainer[MapSource]
    budget: int
    omissions: _containers.RepeatedCompositeFieldContainer[Omission]
    def __init__(self, schema_version: _Optional[int] = ..., model: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., inputs: _Optional[str] = ..., maps: _Optional[_Iterable[_Union[MapSource, _Mapping]]] = ..., budget: _Optional[int] = ..., omissions: _Optional[_Iterable[_Union[Omission, _Mapping]]] = ...) -> None: ...

class MapSource(_message.Message):
    __slots__ = ("module", "kind", "maps", "height", "width", "pictures", "ranges")
    MODULE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    module: str
    kind: str
    maps: int
    height: int
    width: int
    pictures: str
    ranges: str
    def __init__(self, module: _Optional[str] = ..., kind: _Optional[str] = ..., maps: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., pictures: _Optional[str] = ..., ranges: _Optional[str] = ...) -> None: ...

class EmbeddingDescription(_message.Message):
    __slots__ = ("schema_version", "model", "name", "module", "inputs", "sets", "layouts", "measures", "measures_tag", "signature_stem", "prediction_stem", "omissions")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    LAYOUTS_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    MEASURES_TAG_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_STEM_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_STEM_FIELD_NUMBER: _ClassVar[int]
    OMISSIONS_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    model: str
    name: str
    module: str
    inputs: str
    sets: _containers.RepeatedCompositeFieldContainer[PointSet]
    layouts: _containers.RepeatedCompositeFieldContainer[Layout]
    measures: _containers.RepeatedScalarFieldContainer[str]
    measures_tag: str
    signature_stem: str
    prediction_stem: str
    omissions: _containers.RepeatedCompositeFieldContainer[Omission]
    def __init__(self, schema_version: _Optional[int] = ..., model: _Optional[str] = ..., name: _Optional[str] = ..., module: _Optional[str] = ..., inputs: _Optional[str] = ..., sets: _Optional[_Iterable[_Union[PointSet, _Mapping]]] = ..., layouts: _Optional[_Iterable[_Union[Layout, _Mapping]]] = ..., measures: _Optional[_Iterable[str]] = ..., measures_tag: _Optional[str] = ..., signature_stem: _Optional[str] = ..., prediction_stem: _Optional[str] = ..., omissions: _Optional[_Iterable[_Union[Omission, _Mapping]]] = ...) -> None: ...

class PointSet(_message.Message):
    __slots__ = ("points", "labels", "classes", "labels_tag", "thumbnail_tags", "thumbnails_on_page")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    LABELS_TAG_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_TAGS_FIELD_NUMBER: _ClassVar[int]
    THUMBNAILS_ON_PAGE_FIELD_NUMBER: _ClassVar[int]
    points: int
    labels: str
    classes: _containers.RepeatedScalarFieldContainer[str]
    labels_tag: str
    thumbnail_tags: _containers.RepeatedScalarFieldContainer[str]
    thumbnails_on_page: int
    def __init__(self, points: _Optional[int] = ..., labels: _Optional[str] = ..., classes: _Optional[_Iterable[str]] = ..., labels_tag: _Optional[str] = ..., thumbnail_tags: _Optional[_Iterable[str]] = ..., thumbnails_on_page: _Optional[int] = ...) -> None: ...

class Layout(_message.Message):
    __slots__ = ("method", "dims", "origin", "columns", "steps_tag", "position_stem")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    DIMS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    STEPS_TAG_FIELD_NUMBER: _ClassVar[int]
    POSITION_STEM_FIELD_NUMBER: _ClassVar[int]
    method: str
    dims: int
    origin: str
    columns: _containers.RepeatedScalarFieldContainer[str]
    steps_tag: str
    position_stem: str
    def __init__(self, method: _Optional[str] = ..., dims: _Optional[int] = ..., origin: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ..., steps_tag: _Optional[str] = ..., position_stem: _Optional[str] = ...) -> None: ...
