"""Send to an MLflow store what it does not yet have of a run's files.

Every step first reads what the store has, so that it can be interrupted anywhere and repeated: by the uploading
process, by the next one after a resume, or by `sota-exp sync`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelStatus, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils import chunk_list

from sota_exp.errors import find_cause, in_a_line
from sota_exp.runs.contents import RunContent
from sota_exp.runs.mlflow_store import get_or_create_experiment, open_store
from sota_exp.runs.sent_position import SentPosition, get_file_stamp
from sota_exp.tracking.mlflow_content import RUN_ARTIFACTS, build_params, build_points, build_tags
from sota_exp.tracking.mlflow_note import format_run_note
from sota_exp.tracking.mlflow_parent import open_parent_run
from sota_exp.tracking.mlflow_views import EXPERIMENT_KIND_TAG, write_views

#: MLflow's limits for one request.
MOST_METRICS, MOST_PARAMS = 1000, 100

#: Runs that are read with one request.
MOST_RUNS = 200


class FileNotStored(Exception):
    """A file of a run is refused by the store of artifacts, which may be full; what was sent before is there."""

    def __init__(self, name: str, error: Exception) -> None:
        cause = find_cause(error)
        reason = cause.strerror if isinstance(cause, OSError) else None  # without the path of a temporary copy
        super().__init__(f"{name}: {reason or in_a_line(cause)}")


@dataclass(kw_only=True)
class MLflowUpload:
    """A connection to one experiment, and what is known of the run in the store.

    experiment: its id. run_id: of the last run, or "". known_points: (key, step) of its points in the store,
    None if not read yet. lines: how many lines of `metrics.jsonl` are among them. seen: runs by id, as they were a
    while ago. parents: directory of a sweep or study → id of its run. on_accepted: called whenever the store accepted
    something.
    """

    client: MlflowClient
    uri: str
    experiment: str
    run_id: str = ""
    known_points: set[tuple[str, int]] | None = None
    lines: int = 0
    seen: dict[str, Run] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    on_accepted: Callable[[], None] = lambda: None

    @classmethod
    def open(cls, position: SentPosition, took: Callable[[], None] = lambda: None) -> "MLflowUpload":
        """Connect, and create store and experiment if they are missing."""
        client = open_store(position.uri)
        number = get_or_create_experiment(client, position.uri, position.experiment)
        if EXPERIMENT_KIND_TAG not in client.get_experiment(number).tags:
            write_views(client, number)
        took()
        return cls(client=client, uri=position.uri, experiment=number, on_accepted=took)

    def send(self, content: RunContent) -> int:
        """Send what the store does not have; returns the number of things sent."""
        directory = content.directory
        with FileLock(directory / ".tracking.lock", timeout=60):
            before = position = SentPosition.read(directory)
            done = get_file_stamp(directory / "result.json") or "killed"
            complete = self._find_sent(content, position, done)
            run = complete or self._run(content, position)
            run_id = run.info.run_id
            if position.run_id != run_id or position.key != content.start["id"]:
                position = replace(position, run_id=run_id, key=content.start["id"], artifacts={})
                position.write(directory)
            self.on_accepted()
            num = 0
            points = () if complete else (self._points,)
            for step in (self._values, *points, self._data, self._status):
                num += step(content, run)
                self.on_accepted()
            position, sent = self._files(content, position)
            ended = content.status != "running"
            if position.log_model and content.result.get("metrics") and (directory / "model.json").is_file():
                num += self._model(content, run)
            position = replace(position, sent=done if ended else "", problem=None)
            if position != before:
                position.write(directory)
        return num + sent

    def look_up(self, ids: Sequence[str]) -> None:
        """Read runs by their ids, hundreds with a request."""
        for part in chunk_list(list(ids), MOST_RUNS):
            named = ", ".join(f"'{number}'" for number in part)
            found = self.client.search_runs([self.experiment], f"attributes.run_id IN ({named})", max_results=MOST_RUNS)
            self.seen |= {run.info.run_id: run for run in found}

    def _find_sent(self, content: RunContent, position: SentPosition, done: str) -> Run | None:
        """The run if it was sent once in full, and the store still has its status and the last value of each metric.

        Then it still has all points: to read every history takes a request per metric.
        """
        if position.sent != done or position.key != content.start["id"] or not position.run_id:
            return None
        run = self.seen.get(position.run_id) or self._run(content, position)
        last = {point.key: point.value for point in build_points(content)}
        if run.info.status != content.mlflow_status or not last.items() <= run.data.metrics.items():
            return None
        self.run_id = ""  # Its points would have to be read, were it to go on.
        return run

    def _run(self, content: RunContent, position: SentPosition) -> Run:
        """The MLflow run of this start, found by its id or its tag, or created."""
        run = self._find(content, position) or self._create(content)
        if run.info.run_id != self.run_id:
            self.run_id, self.known_points, self.lines = run.info.run_id, None, 0
        return run

    def _find(self, content: RunContent, position: SentPosition) -> Run | None:
        if position.key == content.start["id"] and position.run_id:
            try:
                found = self.client.get_run(position.run_id)
                if found.info.lifecycle_stage == "active":
                    return found
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        same = self.client.search_runs([self.experiment], f"tags.run_id = '{content.start['id']}'", max_results=1)
        return next(iter(same), None)

    def _create(self, content: RunContent) -> Run:
        tags = build_tags(content)
        if parent := content.origin.get("parent"):
            kind = content.origin.get("kind", "run")
            if parent not in self.parents:
                self.parents[parent] = open_parent_run(
                    self.client, self.experiment, Path(parent), kind, content.start["time"]
                )
            tags["mlflow.parentRunId"] = self.parents[parent]
        return self.client.create_run(self.experiment, content.started_ms, tags, content.mlflow_name)

    def _values(self, content: RunContent, run: Run) -> int:
        """Send missing parameters (MLflow never changes them), and tags and the note that differ."""
        new = {key: value for key, value in build_params(content).items() if key not in run.data.params}
        wanted = build_tags(content) | {"mlflow.note.content": format_run_note(content)}
        changed = {key: value for key, value in wanted.items() if run.data.tags.get(key) != value}
        params = [Param(key, value) for key, value in new.items()]
        tags = [RunTag(key, value) for key, value in changed.items()]
        while params or tags:
            self.client.log_batch(run.info.run_id, params=params[:MOST_PARAMS], tags=tags)
            params, tags = params[MOST_PARAMS:], []
        if "reason" in run.data.tags and "reason" not in wanted:
            self.client.delete_tag(run.info.run_id, "reason")
        return len(new) + len(changed)

    def _points(self, content: RunContent, run: Run) -> int:
        """Send missing points, identified by key and step, in one request per epoch."""
        if self.known_points is None:
            self.known_points = read_point_keys(self.client, run)
        new = [point for point in build_points(content, self.lines) if (point.key, point.step) not in self.known_points]
        for part in chunk_list(new, MOST_METRICS):
            self.client.log_batch(run.info.run_id, metrics=part)
            self.known_points |= {(point.key, point.step) for point in part}
        self.lines = len(content.epochs)
        return len(new)

    def _data(self, content: RunContent, run: Run) -> int:
        """Log the data set, with the digest of its content, as an input of the run."""
        facts = content.start.get("data")
        if not facts or run.inputs.dataset_inputs:
            return 0
        data = content.config["data"]
        source = data.get("root") or data.get("path") or data.get("dataset")
        dataset = Dataset(
            name=facts["name"],
            digest=facts["digest"][:36],
            source_type="local" if source else "code",
            source=json.dumps({"uri": source} if source else {"code": data.get("_option_") or data["_target_"]}),
            profile=json.dumps({**facts["counts"], "classes": len(facts["classes"])}),
            schema=json.dumps({"mlflow_colspec": [{"name": "classes", "type": ", ".join(facts["classes"][:50])}]}),
        )
        context = [InputTag("mlflow.data.context", "training")]
        self.client.log_inputs(run.info.run_id, datasets=[DatasetInput(dataset, context)])
        return 1

    def _files(self, content: RunContent, position: SentPosition) -> tuple[SentPosition, int]:
        """Upload changed files and figures; while the run trains, only the files that no longer change.

        Raises:
            FileNotStored: the store of artifacts is full, or does not work.
        """
        directory, num = content.directory, 0
        figures = [f"figures/{path.name}" for path in sorted((directory / "figures").glob("*.png"))]
        for name in ("config.yaml", "start.json") if content.status == "running" else (*RUN_ARTIFACTS, *figures):
            version = get_file_stamp(directory / name)
            if version and position.artifacts.get(name) != version:
                folder = str(Path(name).parent)
                assert position.run_id is not None
                try:
                    self.client.log_artifact(position.run_id, str(directory / name), None if folder == "." else folder)
                except (OSError, MlflowException) as error:
                    raise FileNotStored(name, error) from error
                position = replace(position, artifacts={**position.artifacts, name: version})
                position.write(directory)
                self.on_accepted()
                num += 1
        return position, num

    def _status(self, content: RunContent, run: Run) -> int:
        """Set status, name and end time, which is the time of the last written file."""
        if run.info.status == content.mlflow_status and run.info.run_name == content.mlflow_name:
            return 0
        if content.status == "running":
            self.client.update_run(run.info.run_id, status="RUNNING", name=content.mlflow_name)
            return 1
        files = [content.directory / name for name in ("result.json", "metrics.jsonl", "config.yaml")]
        end = next(path.stat().st_mtime for path in files if path.exists())
        self.client.set_terminated(run.info.run_id, content.mlflow_status, round(end * 1000))
        is_single = content.origin.get("kind", "run") in ("run", "fold")
        if content.origin.get("parent") and (is_single or content.status == "killed"):
            self._end_parent(run, content)
        return 1

    def _end_parent(self, run: Run, content: RunContent) -> None:
        """End the parent run of a multirun when none of its children trains; the next child sets it to RUNNING again.

        Sweeps and studies end their own parent run, except after a kill.
        """
        parent = run.data.tags.get("mlflow.parentRunId")
        if parent is None:
            return
        query = f"tags.mlflow.parentRunId = '{parent}' and attributes.status = 'RUNNING'"
        if not self.client.search_runs([self.experiment], query, max_results=1):
            self.client.set_terminated(parent, "FINISHED" if content.status == "failed" else content.mlflow_status)

    def _model(self, content: RunContent, run: Run) -> int:
        """Log the network as an MLflow model, unless the run has one that is READY (an interrupted upload is not)."""
        outputs = run.outputs.model_outputs if run.outputs else []
        if any(self.client.get_logged_model(output.model_id).status == LoggedModelStatus.READY for output in outputs):
            return 0
        from sota_exp.models.export_mlflow import log_model

        try:
            log_model(self.uri, self.experiment, run.info.run_id, content.directory)
        except (OSError, MlflowException) as error:
            raise FileNotStored("the model", error) from error
        return 1


def read_point_keys(client: MlflowClient, run: Run) -> set[tuple[str, int]]:
    """(key, step) of every point of a run in the store, without the system metrics."""
    keys = (key for key in run.data.metrics if not key.startswith("system/"))
    histories = (client.get_metric_history(run.info.run_id, key) for key in keys)
    return {(metric.key, metric.step) for history in histories for metric in history}
