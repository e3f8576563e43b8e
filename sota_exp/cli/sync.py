"""`sota-exp sync`: send to MLflow what is unsent, from the files of the runs."""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from sota_exp.errors import ConfigError, RunFailed, in_a_line
from sota_exp.runs.contents import tracking_of
from sota_exp.runs.mlflow_store import environment, masked, require_legal, resolved, unanswered
from sota_exp.runs.sent_position import Position, origin_of
from sota_exp.tracking.sync import PLACES, found, is_tracked

#: Seconds and repeats of one request; nobody waits for a training here.
TIMEOUT, RETRIES = 30, 2


def main(arguments: list[str]) -> None:
    """Send every run below the directories; the runs whose configuration asks for MLflow where none is named."""
    options = parser().parse_args(arguments)
    if options.uri is not None:
        require_legal(options.uri)
    named = [Path(name) for name in options.directories]
    for place in named:
        if not place.is_dir():
            raise ConfigError(f"{place}: no such directory")
    runs = list(found(named or [Path(name) for name in PLACES]))
    wanted = [run for run in runs if named or options.uri or is_tracked(run)]
    if not wanted:
        print(f"no run to send below {', '.join(map(str, named)) or ' and '.join(PLACES)}")
        return
    os.environ.update(environment(TIMEOUT, RETRIES))
    failed = [run for run in wanted if not sent(run, options)]
    positions = map(Position.read, wanted)
    for parent, position in {item.origin["parent"]: item for item in positions if item.origin.get("parent")}.items():
        if said := show_parent(Path(parent), position):
            print(f"{parent}: {said}")
    if failed:
        raise RunFailed(f"{len(failed)} of {len(wanted)} runs are not sent; repeat the command when the store answers")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="sota-exp sync", description="Send to MLflow what is unsent; twice changes nothing."
    )
    made.add_argument(
        "directories", nargs="*", metavar="DIR", help="runs, or what holds them (default: outputs and multirun)"
    )
    made.add_argument("--uri", help="another store than the run's own, such as http://host:5000")
    made.add_argument("--experiment", help="another experiment than the run's own")
    return made


def sent(directory: Path, options: argparse.Namespace) -> bool:
    """Send one run and say what was done; False where the store did not take it. One run's trouble is not the next one's."""
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
    """Send one run; what was done, in words. A run of another host that is named itself is taken at the word: it is over."""
    from sota_exp.runs.contents import Content, is_here
    from sota_exp.tracking.mlflow_upload import Upload

    content = Content.read(directory, position.origin)
    content = replace(content, is_over=is_named and not is_here(content.start))
    if content.status == "RUNNING" and is_here(content.start):
        return "trains still, and sends by itself"
    if content.status == "RUNNING":
        return f"trains on {content.start['host']}, and sends by itself; if it was killed: sota-exp sync {directory}"
    upload = Upload.open(position)
    position.write(directory)  # Only now: a store that can't be opened is no place to look for next time.
    num = upload.send(content)
    return f"sent, {num:,} things were missing" if num else "nothing was missing"


def show_parent(directory: Path, position: Position) -> str | None:
    """Bring the page of a study or sweep up to its files, in the store of its runs; what is to be said of it, if anything."""
    if (directory / "study.json").is_file():
        from sota_exp.tracking.mlflow_study import show_study

        return show_study(directory, position.uri, position.experiment)
    if (directory / "sweep.json").is_file():
        from sota_exp.tracking.mlflow_sweep import show_sweep

        problem = show_sweep(directory, position.uri, position.experiment)
        return f"the sweep's own page is not up to date: {problem}" if problem else "the sweep's own page is up to date"
    return None


def place_of(directory: Path, options: argparse.Namespace) -> Position:
    """The run's position in the store that is asked for: by the command line, by its last sending, by its configuration."""
    before, asked = Position.read(directory), tracking_of(directory)
    uri = options.uri and resolved(options.uri, Path.cwd())
    position = before.at(
        uri or before.uri or resolved(asked.get("uri"), Path.cwd()),
        options.experiment or before.experiment or asked.get("experiment", "sota_exp"),
    )
    origin = before.origin or origin_of(directory, {})
    return replace(position, origin=origin, log_model=before.log_model or bool(asked.get("log_model")))
