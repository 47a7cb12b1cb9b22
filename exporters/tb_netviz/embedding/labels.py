"""What the labels of points are: classes, numbers, or nothing; and which class a prediction is."""

from __future__ import annotations

import hashlib
import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.schema.embedding import Labels

Float32 = npt.NDArray[np.float32]
Key = int | str
"""What a class is known by before it has an index: the number or the text that was given."""

LONGEST_NAME = 200
"""Signs of a class's name that are kept."""
_MISSING = ("NAType", "NaTType")  # Of pandas, which need not be there.


@dataclass(frozen=True, slots=True)
class Given:
    """Labels as they were given, one for each point.

    Attributes:
        keys: Of the classes, None where a label is missing; empty where there are none.
        numbers: Of the points, NaN where one is missing; None where the labels are none.
        booleans: Whether the classes 0 and 1 are False and True.
    """

    keys: tuple[Key | None, ...] = ()
    numbers: Float32 | None = None
    booleans: bool = False

    @property
    def kind(self) -> Labels:
        """What they are."""
        if self.numbers is not None:
            return Labels.NUMBERS
        return Labels.CLASSES if self.keys else Labels.NONE

    @property
    def digest(self) -> str:
        """Tells these labels from others."""
        content = repr(self.keys).encode("utf-8", "backslashreplace")
        content += b"" if self.numbers is None else self.numbers.tobytes()
        return hashlib.blake2b(content, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class PointLabels:
    """Labels of points, with an index for each class.

    Attributes:
        kind: What they are.
        values: Index of the class, or number, of each point, [points], NaN where it has none; None where there are no
            labels.
        classes: Names of the classes.
        indices: By what the classes were given as.
    """

    kind: Labels = Labels.NONE
    values: Float32 | None = None
    classes: tuple[str, ...] = ()
    indices: dict[Key, int] = field(default_factory=dict)

    @property
    def texts(self) -> list[str] | None:
        """The label of each point in words, empty where it is missing; None where there are no labels."""
        if self.values is None:
            return None
        if self.kind is Labels.NUMBERS:
            return ["" if math.isnan(value) else f"{value:g}" for value in self.values.tolist()]
        return ["" if math.isnan(value) else self.classes[int(value)] for value in self.values.tolist()]

    def encode(self, keys: Iterable[Key | None]) -> Float32:
        """Return the index of each class, NaN where it is missing or none of these."""
        return _encoded(self.indices, keys)


def given(labels: Any, points: int, what: str = "labels") -> Given:
    """Return labels as they were given.

    Whole numbers, texts and truth values are classes; numbers with a fraction in their type are numbers. None, NaN and
    the like are missing.

    Args:
        labels: One for each point, or None.
        points: How many points there are.
        what: What they are called in a message.

    Raises:
        ValueError: If they are not one for each point.
    """
    if labels is None:
        return Given()
    values = _listed(labels)
    if len(values) != points or any(isinstance(value, list | tuple) for value in values):
        raise ValueError(f"{what} must be one for each of the {points} points, got {np.shape(values) or len(values)}")
    keys = [_key(value) for value in values]
    kinds = {type(key) for key in keys if key is not None}
    if not kinds:
        return Given()
    if float in kinds and str not in kinds:
        return Given(numbers=np.array([math.nan if key is None else key for key in keys], np.float32))
    if str in kinds and len(kinds) > 1:
        keys = [None if key is None else str(key) for key in keys]
    booleans = all(
        isinstance(value, bool | np.bool_) for value, key in zip(values, keys, strict=True) if key is not None
    )
    return Given(tuple(keys), booleans=booleans)  # type: ignore[arg-type]  # No floats are left.


def label(
    labels: Given, classes: Sequence[Any] | None = None, predictions: Given | None = None, outputs: int | None = None
) -> PointLabels:
    """Give each class an index.

    Args:
        labels: Of the points.
        classes: Names of the classes by their index, where they are known.
        predictions: Which may be of classes that no label is of.
        outputs: How many classes the model tells apart.

    Raises:
        ValueError: If a label is no index into `classes` and none of them.
    """
    if labels.kind is Labels.NUMBERS:
        return PointLabels(Labels.NUMBERS, labels.numbers)
    if labels.kind is Labels.NONE:
        return PointLabels()
    keys = {key for key in (*labels.keys, *(predictions.keys if predictions else ())) if key is not None}
    indices, names = _vocabulary(keys, classes, outputs, booleans=labels.booleans)
    return PointLabels(Labels.CLASSES, _encoded(indices, labels.keys), names, indices)


def _vocabulary(
    keys: set[Key], classes: Sequence[Any] | None, outputs: int | None, *, booleans: bool
) -> tuple[dict[Key, int], tuple[str, ...]]:
    """Return the index of each class by its key, and the names of the classes."""
    if classes is not None:
        names = [_name(str(name)) for name in classes]
        indices: dict[Key, int] = {str(name): index for index, name in enumerate(classes)}
        indices |= {index: index for index in range(len(names))}
        strange = sorted(map(str, keys - indices.keys()))
        if strange:
            raise ValueError(f"labels must be of the {len(names)} classes, got {', '.join(strange[:5])}")
        return indices, tuple(names)
    if booleans:
        return {0: 0, 1: 1}, ("False", "True")
    whole = [key for key in keys if isinstance(key, int)]
    if whole and outputs is not None and min(whole) >= 0 and max(whole) < outputs:
        whole = list(range(outputs))
    ordered: list[Key] = [*sorted(whole), *sorted(key for key in keys if isinstance(key, str))]
    return {key: index for index, key in enumerate(ordered)}, tuple(_name(str(key)) for key in ordered)


def _encoded(indices: dict[Key, int], keys: Iterable[Key | None]) -> Float32:
    return np.array([math.nan if key is None else indices.get(key, math.nan) for key in keys], np.float32)


def _listed(labels: Any) -> list[Any]:
    listed = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if not isinstance(listed, list):
        return [listed]
    # A column of labels is a list of lists with one label each.
    column = listed and all(isinstance(value, list) and len(value) == 1 for value in listed)
    return [value[0] for value in listed] if column else listed


def _key(value: Any) -> Key | float | None:
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if value is None or type(value).__name__ in _MISSING:
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return None if math.isnan(value) else float(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _name(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
