"""`findings`: what is wrong with a run, since when, why, and what to do."""

from __future__ import annotations

from tb_netviz_plugin.diagnosis import RULES
from tb_netviz_plugin.diagnosis.moving import parse, refuse
from tb_netviz_plugin.diagnosis.telling import tell, tell_thresholds
from tb_netviz_plugin.errors import BadArgumentError
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, json_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the findings, the worst first, with the thresholds where the request moves them."""
    call.accept("run", "thresholds")
    moved = _moved(call)
    run = reader.run(call.context, call.experiment, call.text("run"))
    header = {"run": run.name, "revision": run.revision}
    return json_reply(header | tell(run.report(moved)) | {"thresholds": tell_thresholds(moved)})


def _moved(call: Call) -> dict[str, float]:
    text = call.text("thresholds", "")
    try:
        moved = parse(text.split(",") if text else (), ":")
        refuse(moved, RULES)
    except ValueError as error:
        raise BadArgumentError(str(error)) from error
    return moved
