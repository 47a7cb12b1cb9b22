"""How findings are written: for people, for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from tb_netviz.check.checked import Checked
from tb_netviz.check.text import as_text
from tb_netviz_plugin.diagnosis.telling import tell


def as_json(checked: Sequence[Checked]) -> str:
    """Return {"runs": [{"run", "checks", "findings", "passed", "not_checked"}]}, with the names of layers."""
    content = [{"run": one.run} | tell(one.report, naming=one.layer) for one in checked]
    return json.dumps({"runs": content}, indent=1, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Checked]], str]] = {"text": as_text, "json": as_json}
