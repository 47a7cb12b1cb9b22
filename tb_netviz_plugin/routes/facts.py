"""`facts`: what can be stated about a run without judging it."""

from __future__ import annotations

from dataclasses import asdict

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, json_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the facts, the most striking first."""
    call.accept("run")
    run = reader.run(call.context, call.experiment, call.text("run"))
    return json_reply({"facts": [asdict(fact) for fact in run.facts]})
