"""Drives MLflow's SQL store and ours with the same calls and compares what they say.

Run ids differ between the stores, so scenarios name runs by the order of their creation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from mlflow.entities import Experiment, Metric, Run, RunInfo
from mlflow.entities.metric import MetricWithRunId
from mlflow.exceptions import MlflowException

PLAIN: dict[type, Callable[[Side, Any], Any]] = {}
"""How entities of a family become comparable; each family's tests add theirs."""


class Side:
    """One store and the ids that it gave."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.runs: list[str] = []
        self.made: dict[str, str] = {}
        """Ids by the names that ``Both.remember`` was given."""

    def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return self.plain(self.made_by(method, args, kwargs))
        except MlflowException as error:
            return ("error", error.error_code)

    def made_by(
        self, method: str | Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What the store itself answers; ``method`` may be a function of the store."""
        args, kwargs = self._real(args), self._real(kwargs)
        call = (
            getattr(self.store, method) if isinstance(method, str) else partial(method, self.store)
        )
        answer = call(*args, **kwargs)
        if method == "create_run":
            self.runs.append(answer.info.run_id)
        return answer

    def _real(self, value: Any) -> Any:
        if isinstance(value, RunRef):
            return self.runs[value.number] if value.number < len(self.runs) else "0" * 32
        if isinstance(value, Ref):
            return self.made.get(value.name, value.otherwise)
        if isinstance(value, Make):
            return value.kind(*self._real(value.args), **self._real(value.kwargs))
        if isinstance(value, (list, tuple)):
            return type(value)(self._real(one) for one in value)
        if isinstance(value, dict):
            return {name: self._real(one) for name, one in value.items()}
        return value

    def plain(self, value: Any) -> Any:
        """The answer as comparable values, without times of writing and with runs by number."""
        for kind in type(value).__mro__:
            if kind in PLAIN:
                return PLAIN[kind](self, value)
        if isinstance(value, Run):
            return self._run(value)
        if isinstance(value, RunInfo):
            return self._info(value)
        if isinstance(value, Experiment):
            fields = dict(value)
            fields.pop("creation_time"), fields.pop("last_update_time")
            fields["tags"] = self.plain(fields["tags"])
            return fields
        if isinstance(value, Metric):
            number = "nan" if math.isnan(value.value) else value.value
            return (value.key, number, value.timestamp, value.step)
        if isinstance(value, MetricWithRunId):
            return (self.runs.index(value.run_id), self.plain(value._metric))
        if isinstance(value, (list, tuple)):
            return [self.plain(one) for one in value]
        if isinstance(value, dict):
            return {self.plain(name): self.plain(one) for name, one in value.items()}
        if isinstance(value, str):
            return self.by_name(value)
        return value

    def by_name(self, text: str) -> str:
        """The text with ids that this store made replaced by the names that scenarios use."""
        for name, made in self.made.items():
            if made:
                text = text.replace(made, f"<{name}>")
        return text

    def _info(self, info: RunInfo) -> dict[str, Any]:
        fields = dict(info)
        fields.pop("run_uuid", None)
        number = self.runs.index(info.run_id)
        fields["artifact_uri"] = info.artifact_uri.replace(info.run_id, str(number))
        fields["run_id"] = number
        return fields

    def _run(self, run: Run) -> dict[str, Any]:
        used = run.inputs.dataset_inputs if run.inputs else []
        return {
            "info": self._info(run.info),
            "metrics": sorted((self.plain(one) for one in run.data._metric_objs), key=str),
            "params": run.data.params,
            "tags": run.data.tags,
            "datasets": [one.to_dictionary() for one in used],
            "models in": sorted(
                self.by_name(one.model_id) for one in (run.inputs.model_inputs or [])
            ),
            "models out": sorted(
                (self.by_name(one.model_id), one.step)
                for one in (run.outputs.model_outputs if run.outputs else []) or []
            ),
        }


class RunRef:
    """The run of this number on whichever side."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"run{self.number}"


class Ref:
    """An id that was remembered under a name, on whichever side."""

    def __init__(self, name: str, otherwise: str = "none") -> None:
        self.name = name
        self.otherwise = otherwise

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Make:
    """An entity made on whichever side, of values that may be ``Ref`` or ``RunRef``."""

    def __init__(self, kind: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        self.kind, self.args, self.kwargs = kind, args, kwargs

    def __repr__(self) -> str:
        return f"{getattr(self.kind, '__name__', self.kind)}{self.args}{self.kwargs or ''}"


class Both:
    """``both.create_run(...)`` calls both stores, asserts equal answers, and returns one."""

    def __init__(self, sql: Any, dynamo: Any) -> None:
        self.sides = (Side(sql), Side(dynamo))

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            theirs, ours = (side.call(method, args, kwargs) for side in self.sides)
            assert ours == theirs, f"{method}{args}{kwargs or ''}"
            return ours

        return call

    def remember(self, name: str, method: str, /, *args: Any, id_of: str, **kwargs: Any) -> Ref:
        """Call both stores, keep the attribute ``id_of`` of what they made, compare the rest."""
        answers = []
        for side in self.sides:
            made = getattr(side.store, method)(*side._real(args), **side._real(kwargs))
            side.made[name] = str(getattr(made, id_of))
            answers.append(side.plain(made))
        assert answers[1] == answers[0], f"{method}{args}{kwargs or ''}"
        return Ref(name)

    def pages(self, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        """All pages of both, compared page by page; each side goes on with its own token."""
        tokens: list[Any] = [None, None]
        found = []
        while True:
            pages = []
            for number, side in enumerate(self.sides):
                answer = getattr(side.store, method)(
                    *side._real(args), **side._real(kwargs), page_token=tokens[number]
                )
                tokens[number] = answer.token
                pages.append(side.plain(list(answer)))
            assert pages[1] == pages[0]
            found.append(pages[0])
            assert (tokens[0] is None) == (tokens[1] is None)
            if tokens[0] is None:
                return found
