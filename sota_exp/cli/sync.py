"""`sota-exp sync`: send runs to MLflow from their files, as far as they are not sent yet."""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from sota_exp.errors import ConfigError, RunFailed, in_a_line
from sota_exp.runs.contents import tracking_of
from sota_exp.runs.mlflow_store import environment, masked, require_legal, resolved, unanswered
from sota_exp.runs.sent_position import Position, origin_of
from sota_exp.tracking.sync import PLACES, found, is_tracked

#: Timeout in seconds and retries of one request: long, because no training waits.
TIMEOUT, RETRIES = 30, 2


def main(arguments: list[str]) -> None:
    """Send all runs below the given directories; without any, the runs whose configuration has tracking in MLflow.

    Raises:
        ConfigError: no such directory, or an illegal URI.
        RunFailed: some runs were not sent.
    """
    options = parser().parse_args(arguments)
    if options.uri is not None:
        require_legal(options.uri)
    given = [Path(name) for name in options.directories]
    for directory in given:
        if not directory.is_dir():
            raise ConfigError(f"{directory}: no such directory")
    runs = list(found(given or [Path(name) for name in PLACES]))
    wanted = [run for run in runs if given or options.uri or is_tracked(run)]
    if not wanted:
        print(f"no run to send below {', '.join(map(str, given)) or ' and '.join(PLACES)}")
        return
    os.environ.update(environment(TIMEOUT, RETRIES))
    failed = [run for run in wanted if not sent(run, options)]
    positions = map(Position.read, wanted)
    for parent, position in {item.origin["parent"]: item for item in positions if item.origin.get("parent")}.items():
        if message := show_parent(Path(parent), position):
            print(f"{parent}: {message}")
    if failed:
        raise RunFailed(f"{len(failed)} of {len(wanted)} runs are not sent; repeat the command when the store answers")


def parser() -> argparse.ArgumentParser:
    """The parser of the command's arguments."""
    result = argparse.ArgumentParser(
        prog="sota-exp sync", description="Send runs to MLflow as far as they are not sent yet; may be repeated."
    )
    result.add_argument(
        "directories",
        nargs="*",
        metavar="DIR",
        help="directories of runs, or with runs below them (default: outputs and multirun)",
    )
    result.add_argument("--uri", help="another store than the run's own, such as http://host:5000")
    result.add_argument("--experiment", help="another experiment than the run's own")
    return result


def sent(directory: Path, options: argparse.Namespace) -> bool:
    """Send one run and print a line about it; False if it failed. An error does not affect the other runs."""
    try:
        position = place_of(directory, options)
        if reason := unanswered(position.uri, 5.0):
            print(f"{directory}: {masked(reason)}")
            return False
        print(f"{directory}: {_sent(directory, position, str(directory) in map(str, map(Path, options.directories)))}")
    except Exception as error:
        print(f"{directory}: {masked(in_a_line(error))}")
        return False
    return True


def _sent(directory: Path, position: Position, is_named: bool) -> str:
    """Send one run and return a message. A run of another host counts as ended if its directory was given."""
    from sota_exp.runs.contents import Content, is_here
    from sota_exp.tracking.mlflow_upload import Upload

    content = Content.read(directory, position.origin)
    content = replace(content, is_over=is_named and not is_here(content.start))
    if content.status == "RUNNING" and is_here(content.start):
        return "is still training, and sends its files itself"
    if content.status == "RUNNING":
        host = content.start["host"]
        return f"is training on {host}, and sends its files itself; if it was killed: sota-exp sync {directory}"
    upload = Upload.open(position)
    position.write(directory)  # Only now: a store that cannot be opened is not remembered.
    num = upload.send(content)
    return f"sent, {num:,} things were missing" if num else "nothing was missing"


def show_parent(directory: Path, position: Position) -> str | None:
    """Update the page of a study or sweep in the store of its runs; returns a message, None for other runs."""
    if (directory / "study.json").is_file():
        from sota_exp.tracking.mlflow_study import show_study

        return show_study(directory, position.uri, position.experiment)
    if (directory / "sweep.json").is_file():
        from sota_exp.tracking.mlflow_sweep import show_sweep

        problem = show_sweep(directory, position.uri, position.experiment)
        return f"the sweep's own page is not up to date: {problem}" if problem else "the sweep's own page is up to date"
    return None


def place_of(directory: Path, options: argparse.Namespace) -> Position:
    """The run's position in its store, from the command line, else the last transfer, else its configuration."""
    before, configured = Position.read(directory), tracking_of(directory)
    uri = options.uri and resolved(options.uri, Path.cwd())
    position = before.at(
        uri or before.uri or resolved(configured.get("uri"), Path.cwd()),
        options.experiment or before.experiment or configured.get("experiment", "sota_exp"),
    )
    origin = before.origin or origin_of(directory, {})
    return replace(position, origin=origin, log_model=before.log_model or bool(configured.get("log_model")))
