"""Issues: problems found in traces, listed by experiment in MLflow's order.

The place in the list tells severity and time, so a page is one Query; an issue that becomes more
severe moves. A pointer finds an issue by its id. Issues of a run are listed, so that ``mlflow gc``
of the run can clear their source.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from itertools import islice

from mlflow.entities.issue import Issue, IssueSeverity, IssueStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_DOES_NOT_EXIST
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_ISSUES_DEFAULT_MAX_RESULTS
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import _parse_experiment_id

from dynamodb_store import keys, records
from dynamodb_store.entities.issue import issue_of, place_of, rank_of
from dynamodb_store.records import Body, Record
from dynamodb_store.search.issues import compile_filter
from dynamodb_store.search.page import Token, check_max_results, make_token, read_token
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import Base, canonical_id
from dynamodb_store.tracking.listing import merged
from dynamodb_store.tracking.reviews.label_schemas import ACTIVE


class Issues(Base):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def create_issue(
        self,
        experiment_id: str,
        name: str,
        description: str,
        status: IssueStatus = IssueStatus.PENDING,
        severity: IssueSeverity | None = None,
        root_causes: list[str] | None = None,
        source_run_id: str | None = None,
        categories: list[str] | None = None,
        created_by: str | None = None,
    ) -> Issue:
        canonical = canonical_id(experiment_id)
        listed = self._check_parents(canonical, source_run_id)
        if name is None or description is None:
            raise MlflowException("An issue needs a name and a description.", BAD_REQUEST)
        now = get_current_time_millis()
        body: Body = {
            "id": f"iss-{uuid.uuid4().hex}",
            "experiment_id": canonical,
            "name": name,
            "description": description,
            "status": status.value,
            "severity": severity.value if severity else None,
            "root_causes": root_causes or None,
            "source_run_id": source_run_id,
            "categories": categories or None,
            "created": now,
            "updated": now,
            "created_by": created_by,
        }
        record = Record(keys.issues(canonical), place_of(body), body)
        also = [records.take_pointer(keys.issue(body["id"]), record)]
        if source_run_id is not None:
            also.append(_put((keys.issues_of_run(source_run_id), body["id"])))
        if not listed:
            also.append(_put((keys.EXPERIMENTS_WITH_ISSUES, canonical)))
        records.create(self.table, record, also=also)
        return issue_of(body)

    def _check_parents(self, experiment_id: str, run_id: str | None) -> bool:
        """Whether the experiment is listed among those with issues. Raises MlflowException."""
        _, listed, run = self.table.at_once(
            [
                lambda: self._experiment(experiment_id, ACTIVE),
                lambda: self.table.get((keys.EXPERIMENTS_WITH_ISSUES, experiment_id)),
                lambda: run_id is None or self.table.get((keys.run(run_id), keys.HEAD)),
            ],
        )
        if not run:
            raise MlflowException(f"The issue's run {run_id} does not exist.", BAD_REQUEST)
        return listed is not None

    def get_issue(self, issue_id: str) -> Issue:
        record = records.find(self.table, keys.issue(issue_id))
        if record is None:
            raise _no_issue(issue_id)
        return issue_of(record.body)

    def update_issue(
        self,
        issue_id: str,
        status: IssueStatus | None = None,
        name: str | None = None,
        description: str | None = None,
        severity: IssueSeverity | None = None,
    ) -> Issue:
        given = {
            "status": None if status is None else status.value,
            "name": name,
            "description": description,
            "severity": None if severity is None else severity.value,
        }
        new = {field: value for field, value in given.items() if value is not None}
        return issue_of(self._edit_issue(issue_id, new | {"updated": None}).body)

    def _edit_issue(self, issue_id: str, new: Body) -> Record:
        """Change fields of an issue, and with its severity its place."""

        def change(record: Record) -> list[Action]:
            record.body |= new
            if "updated" in new:
                record.body["updated"] = get_current_time_millis()
            place = place_of(record.body)
            if place == record.sk:
                return []
            record.sk = place
            return [records.repoint(keys.issue(issue_id), record)]

        return records.edit_found(
            self.table,
            lambda: records.find(self.table, keys.issue(issue_id)),
            lambda: _no_issue(issue_id),
            change,
        )

    def search_issues(
        self,
        experiment_id: str | None = None,
        filter_string: str | None = None,
        max_results: int | None = None,
        page_token: Token | None = None,
        include_trace_count: bool = False,
    ) -> PagedList[Issue]:
        check_max_results(max_results, allow_none=True)
        size = max_results or SEARCH_ISSUES_DEFAULT_MAX_RESULTS
        offset, after = read_token(page_token)
        partitions = self._issue_partitions(experiment_id)
        test = compile_filter(filter_string)
        if include_trace_count:
            return self._issues_by_traces(partitions, test, offset, size)
        skipped = offset if after is None else 0
        first = size + 1 if test is None and not skipped else None
        found = self._listed_issues(partitions, test, after, first)
        page = list(islice(found, skipped, skipped + size + 1))
        token = make_token(offset + size, page[size - 1].sk) if len(page) > size else None
        return PagedList([issue_of(record.body) for record in page[:size]], token)

    def _issue_partitions(self, experiment_id: str | None) -> list[str]:
        if experiment_id is not None:
            return [keys.issues(str(_parse_experiment_id(experiment_id)))]
        listed = self.table.query_all(keys.EXPERIMENTS_WITH_ISSUES)
        return [keys.issues(item["sk"]) for item in listed]

    def _listed_issues(
        self,
        partitions: list[str],
        test: Callable[[Body], bool] | None,
        after: str | None = None,
        first: int | None = None,
    ) -> Iterator[Record]:
        for batch in merged(self.table, partitions, after=after, first=first):
            for item in batch:
                record = records.of_item(self.table, item)
                if test is None or test(record.body):
                    yield record

    def _issues_by_traces(
        self, partitions: list[str], test: Callable[[Body], bool] | None, offset: int, size: int
    ) -> PagedList[Issue]:
        """Among issues of one severity, those of most traces first: all have to be read."""
        bodies = [record.body for record in self._listed_issues(partitions, test)]
        counts = self.table.parallel(self._count_traces_of_issue, [body["id"] for body in bodies])
        counted = sorted(zip(bodies, counts, strict=True), key=_by_traces)
        end = offset + size
        page = [issue_of(body, count) for body, count in counted[offset:end]]
        return PagedList(page, make_token(end) if len(counted) > end else None)

    def _count_traces_of_issue(self, issue_id: str) -> int:
        return sum(1 for _ in self.table.query_all(keys.traces_of_issue(issue_id)))

    def _purge_run(self, run_id: str) -> None:
        """MLflow forgets the source of an issue when its run goes for good."""
        mine = list(self.table.query_all(keys.issues_of_run(run_id)))
        for item in mine:
            try:
                self._edit_issue(item["sk"], {"source_run_id": None})
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        self.table.batch_write(deletes=[(item["pk"], item["sk"]) for item in mine])
        super()._purge_run(run_id)

    def _purge_experiment(self, experiment_id: str) -> None:
        for record in list(records.listed(self.table, keys.issues(experiment_id))):
            run_id, issue_id = record.body["source_run_id"], record.body["id"]
            also = [records.free_name(keys.issue(issue_id))]
            if run_id is not None:
                also.append(records.free_name((keys.issues_of_run(run_id), issue_id)))
            records.delete(self.table, record, also)
        self.table.batch_write(deletes=[(keys.EXPERIMENTS_WITH_ISSUES, experiment_id)])
        super()._purge_experiment(experiment_id)


def _by_traces(counted: tuple[Body, int]) -> tuple[int, int, str]:
    body, count = counted
    return (-rank_of(body), -count, place_of(body))


def _put(key: keys.Key) -> Action:
    return ("Put", {"Item": {"pk": key[0], "sk": key[1]}})


def _no_issue(issue_id: str) -> MlflowException:
    return MlflowException(
        f"Issue with ID '{issue_id}' not found", error_code=RESOURCE_DOES_NOT_EXIST
    )
