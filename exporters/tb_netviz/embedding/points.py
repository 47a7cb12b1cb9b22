"""Points that belong together: how many, their labels and their thumbnails."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tb_netviz.embedding.labels import PointLabels
from tb_netviz.embedding.thumbnails import ON_PAGE, UInt8
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import PointSet
from tb_netviz_plugin.schema.tags import Family, tag


@dataclass(frozen=True, slots=True)
class Points:
    """A set of points.

    Attributes:
        count: How many.
        digest: Tells the set from others.
        labels: Of the points.
        thumbnails: Of the points, [points, height, width, channels], or None.
        omissions: What was left out, and why.
    """

    count: int
    digest: str = ""
    labels: PointLabels = field(default_factory=PointLabels)
    thumbnails: UInt8 | None = None
    omissions: tuple[Omission, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes that they take in the event file."""
        parts = (self.labels.values, self.thumbnails)
        return sum(part.nbytes for part in parts if part is not None)

    def pages(self) -> list[UInt8]:
        """Return the thumbnails, so many as one tag holds."""
        if self.thumbnails is None:
            return []
        return [self.thumbnails[first : first + ON_PAGE] for first in range(0, self.count, ON_PAGE)]

    def described(self, *identity: str) -> PointSet:
        """Return what is said of them, with tags of their own in the embedding of this identity."""
        described = PointSet(self.count, self.labels.kind.value, self.labels.classes)
        if self.labels.values is not None:
            described = replace(described, labels_tag=tag(Family.POINT_LABELS, *identity, self.digest))
        pages = len(self.pages())
        names = tuple(tag(Family.THUMBNAILS, *identity, self.digest, str(page)) for page in range(pages))
        return replace(described, thumbnail_tags=names, thumbnails_on_page=ON_PAGE if pages else 0)
