"""Names of the tags under which netviz writes, and the families that they belong to.

A tag is `netviz/v1/<family>/<hash>`. The hash stands for whatever fixes the meaning of the numbers
(names, shapes, columns), so that two different layouts never share a tag.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from enum import StrEnum

PLUGIN_NAME = "netviz"
SCHEMA_VERSION = 1

_TAG = re.compile(r"netviz/v(?P<version>\d+)/(?P<family>[a-z_]+)/(?P<key>[0-9a-f]+)\Z")


class Family(StrEnum):
    """What a tag holds; the shapes are in docs/wire-format.md."""

    DESCRIPTION = "description"
    """A serialized RunDescription."""
    PARAMETERS = "parameters"
    """Float32 [1 or 3, rows, columns]: statistics of each parameter, one plane or mean, min, max."""
    BINS = "bins"
    """Uint16 [rows, bins]: gradient magnitudes of sampled elements, by power of two."""
    ACTIVATIONS = "activations"
    """Float32 [1 or 3, rows, columns]: statistics of each activation, one plane or mean, min, max."""
    ACTIVATION_BINS = "activation_bins"
    """Uint16 [rows, bins]: magnitudes of sampled values, by power of two."""
    UNITS = "units"
    """Float32 [units, columns]: what each unit did over the steps of a record."""
    UNIT_STEPS = "unit_steps"
    """Float32 [rows, columns]: which steps and how many samples a record of units stands for, by activation."""
    PROBE = "probe"
    """A serialized ProbeDescription."""
    PROBE_INPUTS = "probe_inputs"
    """Uint8 [samples, height, width, 1 or 3]: the inputs of a probe as pictures."""
    MAPS = "maps"
    """Uint8 [samples, maps, height, width]: what a module made of the inputs, each picture over its own range."""
    MAP_RANGES = "map_ranges"
    """Float32 [samples, maps, 3]: the values that 0 and 255 stand for in each picture, and how many are not finite."""
    EMBEDDING = "embedding"
    """A serialized EmbeddingDescription."""
    POINT_LABELS = "point_labels"
    """Float32 [points]: the class or the number of each point; NaN where it has none."""
    THUMBNAILS = "thumbnails"
    """Uint8 [points, height, width, 1, 3 or 4]: small pictures of a page of points."""
    POSITIONS = "positions"
    """Uint16 [points, dims]: where the points are; 65535 where one is nowhere. In buckets of steps."""
    POSITION_STEPS = "position_steps"
    """Float32 [columns]: the scale of the positions, and how far they can be trusted."""
    PREDICTIONS = "predictions"
    """Float32 [points]: the class that the model predicts for each point. In buckets of steps."""
    MEASURES = "measures"
    """Float32 [columns]: measures of the vectors themselves."""
    SIGNATURE = "signature"
    """Float32 [landmarks, components]: from which the similarity to others is computed. In buckets of steps."""
    OUTPUTS = "outputs"
    """Float32 [columns] or [3, columns]: what goes into a model, what comes out of it, and the targets."""
    CLASSES = "classes"
    """Float32 [classes, columns]: targets, hits and losses of each class."""
    EVALUATIONS = "evaluations"
    """Float32 [columns]: what a model got and gave in an evaluation, beside what it got and gave in training."""
    STEPS = "steps"
    """Float32 [columns]: which steps a record stands for, and what recording cost."""
    METRIC = "metric"
    """Float32 [columns]: one scalar that the user logs, such as the loss."""


def tag(family: Family, *identity: str | Iterable[object]) -> str:
    """Return the tag of `family` for what `identity` fixes; equal identities give equal tags.

    Args:
        family: What the tag holds.
        identity: Everything that fixes the meaning of the numbers; each part is a string or an
            iterable of objects whose `str` is unambiguous.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in identity:
        words = [part] if isinstance(part, str) else [str(word) for word in part]
        digest.update(b"%d:" % len(words))
        for word in words:
            content = word.encode("utf-8", "surrogatepass")
            digest.update(b"%d:%b" % (len(content), content))  # With its length, no word can pose as two.
    return f"netviz/v{SCHEMA_VERSION}/{family.value}/{digest.hexdigest()}"


def bucket(family: Family, stem: str, number: int) -> str:
    """Return the tag of a bucket of steps: TensorBoard hands over a tag at once, so large ones are kept short.

    Args:
        family: What the tag holds.
        stem: Stands for whatever fixes the meaning of the numbers.
        number: Of the bucket, from 0, without gaps.
    """
    return tag(family, stem, str(number))


def parse(name: str) -> tuple[int, str] | None:
    """Return (major version, family) of one of our tags, or None for a foreign tag.

    The family is a plain string because a newer version may know families that this one does not.
    """
    match = _TAG.match(name)
    return (int(match["version"]), match["family"]) if match else None
