"""Thresholds that a user moved: from text to numbers, and refused where they make no sense."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tb_netviz_plugin.diagnosis.rule import Rule


def parse(texts: Iterable[str], sign: str) -> dict[str, float]:
    """Return thresholds such as {"dead_units.share": 0.5} of texts such as "dead_units.share=0.5".

    Args:
        texts: A threshold each.
        sign: What stands between a name and its value.

    Raises:
        ValueError: If one is no name and number.
    """
    return dict(_parse(text, sign) for text in texts)


def _parse(text: str, sign: str) -> tuple[str, float]:
    name, found, value = text.partition(sign)
    try:
        if found:
            return name, float(value)
    except ValueError:
        pass
    raise ValueError(f"a threshold is given as rule.name{sign}number, not as {text[:60]!r}") from None


def refuse(moved: Mapping[str, float], rules: Sequence[Rule]) -> None:
    """Refuse thresholds that make no sense.

    Raises:
        ValueError: If the `rules` have no threshold of a name in `moved`, or its value is out of range.
    """
    known = {f"{rule.id}.{one.name}": one for rule in rules for one in rule.thresholds}
    for name, value in moved.items():
        if name not in known:
            raise ValueError(f"there is no threshold {name[:60]!r}; there are {', '.join(sorted(known))}")
        least, most = known[name].least, known[name].most
        if not least <= value <= most:
            raise ValueError(f"{name} must be from {least:g} to {most:g}, got {value:g}")
