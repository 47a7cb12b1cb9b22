"""Hugging Face Transformers: a callback for its Trainer.

from tb_netviz.pytorch.integrations.transformers import NetVizCallback

trainer = transformers.Trainer(..., callbacks=[NetVizCallback()])
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

try:
    from transformers import TrainerCallback
    from transformers.integrations.integration_utils import TensorBoardCallback, default_logdir, rewrite_logs
    from transformers.trainer_callback import CallbackHandler
except ModuleNotFoundError as error:
    raise ImportError(
        "tb_netviz.pytorch.integrations.transformers needs Transformers 5 and Accelerate: "
        "pip install 'tb-netviz-plugin[transformers]'"
    ) from error

from tb_netviz.pytorch.integrations._session import Session
from tb_netviz.pytorch.writer import NetVizWriter


class NetVizCallback(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here.
    """Watches the model while the Trainer trains it.

    With `report_to="tensorboard"`, records go into the file of the Trainer's own TensorBoardCallback. Without it, or
    where `log_dir` is given, they go into a file of their own, with all that a TensorBoardCallback would log. Steps are
    those of the Trainer: the first update is step 1, the number under which its loss is logged.

    The Trainer tells its callbacks of no exception. After one, the model is watched until the next `train` or `close`.

    Args:
        log_dir: Folder of the run; by default that of the TensorBoardCallback, or else the one that it would take:
            $TENSORBOARD_LOGGING_DIR, or "runs/", date, time and host in the `output_dir`.
        options: As for `tb_netviz.pytorch.watch`: name, every, budget, include, exclude, train_loss and so on.
    """

    def __init__(self, log_dir: str | os.PathLike[str] | None = None, **options: Any) -> None:
        self._log_dir = log_dir
        self._options = {"train_loss": "train/loss"} | options  # The Trainer ends with a "train/train_loss": a mean.
        self._session: Session | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Attach."""
        self.close()
        writer, owned = self._open(args, state)
        self._session = Session(
            writer, parts["model"], parts["optimizer"], lambda: state.global_step + 1, owned=owned, **self._options
        )
        if owned:  # Add the arguments as texts, as the Trainer does; in the first process.
            TensorBoardCallback(writer).on_train_begin(args, state, control, **parts)

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Take losses and metrics."""
        if self._session is None or not state.is_world_process_zero:
            return
        for name, value in rewrite_logs(logs or {}).items():
            if isinstance(value, (int, float)):
                self._session.log(name, value, state.global_step)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Detach."""
        session = self._session
        self.close()
        if session is not None:
            # The TensorBoardCallback, which comes before us, has closed its writer; our last record opened it again.
            session.writer.close()

    def close(self) -> None:
        """Detach and write what is held. Closing twice is harmless."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _open(self, args: Any, state: Any) -> tuple[Any, bool]:
        """Return the writer, and whether it is ours."""
        if self._log_dir is None and state.is_world_process_zero:
            theirs = _tensorboard_callback()
            if theirs is not None and theirs.tb_writer is not None:
                return theirs.tb_writer, False
        return NetVizWriter(self._folder(args, state)), True

    def _folder(self, args: Any, state: Any) -> str | os.PathLike[str]:
        """Return the folder of the run, which stays the same when training goes on."""
        if state.is_hyper_param_search and state.trial_name is not None:
            return Path(args.output_dir, default_logdir(), state.trial_name)
        if self._log_dir is None:
            folder = os.environ.get("TENSORBOARD_LOGGING_DIR")
            self._log_dir = Path(folder).expanduser() if folder else Path(args.output_dir, default_logdir())
        return self._log_dir


def _tensorboard_callback() -> Any:
    """Return the Trainer's own TensorBoardCallback, or None.

    A callback is not told of the others; the handler that is calling us knows them.
    """
    frame = inspect.currentframe()
    while frame is not None:
        handler = frame.f_locals.get("self")
        if isinstance(handler, CallbackHandler):
            return next((each for each in handler.callbacks if isinstance(each, TensorBoardCallback)), None)
        frame = frame.f_back
    return None
