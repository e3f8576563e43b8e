"""`sota-exp sync`: send runs to MLflow from their files, as far as they are not sent yet."""

import argparse
import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.cli.command_line import CommandLine
from sota_exp.config.data_paths import describe_no_folder, expand_home, is_folder
from sota_exp.config.printable import make_printable
from sota_exp.errors import ConfigError, RunFailed, first_line, in_a_line
from sota_exp.report.changing_line import ChangingLine
from sota_exp.report.numbers import format_count
from sota_exp.runs.contents import read_tracking_values
from sota_exp.runs.find import RUN_ROOTS, find_runs_below
from sota_exp.runs.mlflow_store import (
    find_connection_problem,
    mask_passwords,
    mlflow_environment,
    require_supported_uri,
    resolve_uri,
)
from sota_exp.runs.sent_position import SentPosition, read_origin
from sota_exp.runs.trust import require_plain_files, require_trust
from sota_exp.tracking.sync import is_tracked

if TYPE_CHECKING:
    from sota_exp.tracking.mlflow_upload import MLflowUpload

#: Timeout in seconds and retries of one request: long, because no training waits.
TIMEOUT_SECONDS, RETRIES = 30, 2

COMMAND = CommandLine(
    "sync",
    "Sends runs to MLflow from their files, as far as they are not sent yet. It may be repeated: what is there is not "
    "sent twice. Without directories it sends the runs below outputs/ and multirun/ that are tracked in MLflow.",
    {
        "sync": "all runs that are not sent yet",
        "sync outputs/a_run multirun/ladder": "these, whatever their configuration says",
        "sync outputs --uri http://host:5000 --experiment all": "to another store",
    },
    trusts=True,
)
COMMAND.add_argument("directories", nargs="*", metavar="DIR", help="directories of runs, or with runs below them")
COMMAND.add_argument("--uri", help="another store than the run's own")
COMMAND.add_argument("--experiment", metavar="NAME", help="another experiment than the run's own")


@dataclass(kw_only=True)
class Stores:
    """The open connections by URI and experiment, and the MLflow ids of all runs that are sent.

    missing: of each run that was sent, how many things its store lacked.
    """

    ids: list[str]
    open: dict[tuple[str, str], "MLflowUpload"] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)

    def describe(self) -> str:
        """What was sent, in a line."""
        num_sent = sum(num > 0 for num in self.missing)
        sent = [f"{format_count(num_sent, 'run')} sent, {sum(self.missing):,} things were missing"] * bool(num_sent)
        whole = [f"{format_count(len(self.missing) - num_sent, 'run')}: nothing was missing"]
        return "; ".join([*sent, *whole * (num_sent < len(self.missing))]) or "no run was sent"


def main(arguments: list[str]) -> None:
    """Send all runs below the given directories; without any, the runs whose configuration has tracking in MLflow.

    Raises:
        ConfigError: no such directory, or an illegal URI.
        RunFailed: some runs were not sent.
    """
    options = COMMAND.parse(arguments)
    if options.uri is not None:
        require_supported_uri(options.uri)
    given = [expand_home(name) for name in options.directories]
    for directory in given:
        if not is_folder(directory):
            raise ConfigError(f"{directory}: {describe_no_folder(directory)}")
    runs = [run for place in given or map(Path, RUN_ROOTS) for run in find_runs_below(place, nested=True)]
    wanted = [run for run in runs if given or options.uri or is_tracked(run)]
    if not wanted:
        say(f"no run to send below {', '.join(map(str, given)) or ' and '.join(RUN_ROOTS)}")
        return
    stores = Stores(ids=[number for run in wanted if (number := SentPosition.read(run).run_id)])
    failed = send_runs(wanted, options, stores)
    say(stores.describe())
    positions = [SentPosition.read(run) for run in wanted if run not in failed]
    for parent, position in {item.origin["parent"]: item for item in positions if item.origin.get("parent")}.items():
        update_parent_page(Path(parent), position)
    if failed:
        raise RunFailed(f"{len(failed)} of {len(wanted)} runs are not sent; repeat the command when the store answers")


def say(line: str) -> None:
    """Print a line in which names of somebody else may be."""
    print(make_printable(line))


def send_runs(wanted: Sequence[Path], options: argparse.Namespace, stores: Stores) -> set[Path]:
    """Send the runs one after the other, while a line counts them; returns those that failed."""
    failed = set()
    with closing(ChangingLine()) as line:
        for number, run in enumerate(wanted, start=1):
            line.show(f"sending run {number} of {len(wanted)}")
            if not send_run(run, options, stores):
                failed.add(run)
    return failed


def send_run(directory: Path, options: argparse.Namespace, stores: Stores) -> bool:
    """Send one run; False if it failed. A line says why it was not sent. An error does not affect the other runs.

    stores: those that are open, to which this adds.
    """
    try:
        require_plain_files(directory)
        position = choose_position(directory, options)
        if reason := find_connection_problem(position.uri, 5.0):
            say(f"{directory}: {mask_passwords(reason)}")
            return False
        is_named = str(directory) in map(str, map(Path, options.directories))
        with mlflow_environment(position.uri, TIMEOUT_SECONDS, RETRIES):
            if reason := _send_run(directory, position, is_named, stores):
                say(f"{directory}: {reason}")
    except (ConfigError, RunFailed) as error:
        say(f"{directory}: {mask_passwords(first_line(error))}")
        return False
    except Exception as error:
        say(f"{directory}: {mask_passwords(in_a_line(error))}")
        return False
    return True


def _send_run(directory: Path, position: SentPosition, is_named: bool, stores: Stores) -> str:
    """Send one run, or return why it isn't sent now. One of another host counts as ended if its directory was given."""
    from sota_exp.runs.contents import RunContent
    from sota_exp.runs.lock import find_owner
    from sota_exp.tracking.mlflow_upload import MLflowUpload

    content = RunContent.read(directory, position.origin)
    host = find_owner(directory).get("host", socket.gethostname())
    content = replace(content, is_over=is_named and host != socket.gethostname())
    if content.status == "running" and host == socket.gethostname():
        return "is still training, and sends its files itself"
    if content.status == "running":
        return f"is training on {host}, and sends its files itself; if it was killed: sota-exp sync {directory}"
    place = position.uri, position.experiment
    if place not in stores.open:
        stores.open[place] = MLflowUpload.open(position)
        stores.open[place].look_up(stores.ids)
    if position != SentPosition.read(directory):
        position.write(directory)  # Only now: a store that cannot be opened is not remembered.
    stores.missing.append(stores.open[place].send(content))
    return ""


def update_parent_page(directory: Path, position: SentPosition) -> None:
    """Update the page of a study or sweep in the store of its runs, and print a line about it."""
    from sota_exp.tracking.mlflow_parent import READERS, update_parent_run

    if any((directory / name).is_file() for name in READERS):
        problem = update_parent_run(directory, position.uri, position.experiment)
        say(f"{directory}: its own page is {f'not up to date: {problem}' if problem else 'up to date'}")


def choose_position(directory: Path, options: argparse.Namespace) -> SentPosition:
    """The run's position in its store, from the command line, else the last transfer, else its configuration."""
    before, configured = SentPosition.read(directory), read_tracking_values(directory)
    default, uri = resolve_uri(None, Path.cwd()), options.uri and resolve_uri(options.uri, Path.cwd())
    named = uri or before.uri or resolve_uri(configured.get("uri"), Path.cwd())
    require_trust(directory, {} if named in (uri, default) else {"tracking.uri (--uri here)": named})
    position = before.at(
        named,
        options.experiment or before.experiment or configured.get("experiment", "sota_exp"),
    )
    origin = before.origin or read_origin(directory, {})
    return replace(position, origin=origin, log_model=before.log_model or bool(configured.get("log_model")))
