"""The command line: table of commands, exit statuses, and errors in one line. Imports neither torch nor Hydra at start.

Exit status: 0 done; 1 the run failed; 2 wrong usage or configuration; 128 + signal after one of `STOP_SIGNALS`.
"""

import errno
import gc
import importlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, ModuleType

from sota_exp.cli.command_line import TRUST, TRUST_HELP, Composition, format_page
from sota_exp.config.credentials import hide_credentials, restart_without_credentials
from sota_exp.config.data_paths import quote_paths
from sota_exp.config.printable import make_printable
from sota_exp.config.signals import acknowledge, handled_signals
from sota_exp.config.values import shorten_middle
from sota_exp.errors import ConfigError, Interrupted, RunFailed, error_to_failure, find_cause, in_a_line
from sota_exp.runs.environment import changed_environment, get_rank, only_the_first_speaks
from sota_exp.runs.own_key import TRUST_VARIABLE

#: Command → summary. The module of the same name in `sota_exp.cli` has its function `main(arguments)`.
COMMANDS = {
    "train": "train and evaluate one configuration",
    "sweep": "search values or options with Optuna, and confirm the winner",
    "explain": "what train would do, what it would cost, and which rules fire",
    "look": "pictures of the augmented batch and the data; near-duplicates",
    "doctor": "problems of this machine, and how to fix them",
    "ablate": "which techniques help: paired seeds, intervals, verdicts",
    "evaluate": "evaluate saved weights: other data, sizes or views",
    "predict": "classify image files with a finished run's model",
    "export": "write a finished run's model for ONNX, torch.export or MLflow",
    "compare": "metrics and configurations of runs, with confidence intervals",
    "diff": "the exact differences of two runs",
    "rerun": "train a run's configuration again, as it was or changed",
    "translate": "translate a command of torchvision's reference into overrides",
    "techniques": "list all slots and options with their papers",
    "new-technique": "create the files of a new technique: module, YAML, test and row",
    "report": "write the page of a run, a study or a sweep",
    "dashboard": "open MLflow's page for the runs of this directory",
    "sync": "send the runs to MLflow that are not sent yet",
}

#: Longest message in characters; the middle of a longer one, such as of a value, is left out.
LONGEST_LINE = 1000

#: What is printed below the purpose of the program and below its commands.
EXAMPLES = {
    "train recipe=small_images scale=smoke": "two epochs on the embedded images",
    "ablate study=leave_one_out data=image_folder data.root=photos": "what helps on a folder of images per class",
    "report outputs/a_run": "its page",
}

MORE = {
    "sota-exp COMMAND --help": "what a command takes, with examples",
    "completion": 'eval "$(sota-exp --shell-completion install=bash)"',
    TRUST: f"{TRUST_HELP}: SECURITY.md",
}

PURPOSE = "Which of the published techniques help on your data and your model, how much, and how sure you can be."


def load_command(name: str) -> ModuleType:
    """Import the module of a command: its function `main`, and its command line `COMMAND`."""
    return importlib.import_module(f"sota_exp.cli.{name.replace('-', '_')}")


def format_usage() -> str:
    """The help text of the program."""
    return format_page("sota-exp COMMAND [ARGUMENT …]", PURPOSE, EXAMPLES, {"commands": COMMANDS, "more": MORE})


def main() -> None:
    """Run the command in `sys.argv` and exit with its status."""
    limit_openmp_spinning()
    gc.set_threshold(10_000, 10, 10)  # after 700 objects, as Python does, takes a tenth of the time of all imports
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, as by `>&-`
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, "w")))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # names of files need not be UTF-8
    with suppress(ConfigError):  # which `run_command_line` meets again, and prints
        restart_without_credentials()
    sys.exit(run_command_line(sys.argv[1:]))


def limit_openmp_spinning() -> None:
    """On a busy machine, let waiting OpenMP threads release their core early.

    On an idle machine they spin, which is 5 % faster (docs/log.md, 2026-11-26). GNU's library reads it when torch is
    imported.
    """
    with suppress(OSError):  # The system has no load average.
        if "OMP_WAIT_POLICY" not in os.environ and os.getloadavg()[0] >= 0.5 * (os.cpu_count() or 1):
            os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def run_command_line(arguments: list[str]) -> int:
    """Run a command line and return its exit status."""
    logging.raiseExceptions = False  # a log that can't be written, as on a full disk, prints no traceback
    with noted_interrupts() as interrupts:
        try:
            with only_the_first_speaks():
                exit_status = run_command(list(map(hide_credentials, arguments)))
            sys.stdout.flush()
            return exit_status
        except BrokenPipeError:  # The reader closed the pipe, as `head` does.
            discard_output()
            return 128 + signal.SIGPIPE
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("SOTA_EXP_TRACEBACK") == "1":
                raise
            return report_error(error, bool(interrupts))


@contextmanager
def noted_interrupts() -> Iterator[list[int]]:
    """While entered, SIGINT is listed and raises `KeyboardInterrupt`, which code in C may turn into any error.

    Raises:
        KeyboardInterrupt: at SIGINT.
    """
    found: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        found.append(number)
        acknowledge("stopping")
        raise KeyboardInterrupt

    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with handled_signals([signal.SIGINT] if is_default else [], note):
        yield found


def report_error(error: BaseException, is_interrupted: bool) -> int:
    """Print one line about what ended a command, and return its exit status. is_interrupted: by SIGINT, before."""
    known = error if isinstance(error, ConfigError | KeyboardInterrupt) else error_to_failure(error)
    if known is None and is_interrupted:
        known = KeyboardInterrupt()
    line = "interrupted" if isinstance(known, KeyboardInterrupt) else str(known or describe_fault(error))
    if problem := find_output_problem(error):
        discard_output()
        line = f"standard output cannot be written: {problem}"
    if rank := get_rank():
        line = f"process {rank}: {line}"
    with suppress(OSError):  # The terminal may be gone.
        print(f"sota-exp: {shorten_middle(make_printable(line), LONGEST_LINE)}", file=sys.stderr)
    return get_exit_status(known or RunFailed())


def discard_output() -> None:
    """Let standard output go nowhere from now on, what is not written yet included."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def find_output_problem(error: BaseException) -> str | None:
    """Why standard output cannot be written, such as a log on a full disk, if that led to an error; else None."""
    cause = find_cause(error)
    is_full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    if isinstance(error, ConfigError) or not is_full:
        return None
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except OSError as problem:
        return problem.strerror
    return None


def describe_fault(error: BaseException) -> str:
    """The line for an exception that nobody foresaw; its traceback is written to a file, else printed."""
    import tempfile

    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="sota-exp-", suffix=".log", delete=False) as file:
            file.write(text)
    except OSError:
        return f"this is a fault of sota-exp: {text}"
    return f"this is a fault of sota-exp ({in_a_line(error)}); please report it with {file.name}"


def get_exit_status(error: BaseException) -> int:
    """The exit status for an exception."""
    if isinstance(error, ConfigError):
        return 2
    if isinstance(error, RunFailed):
        return 1
    return 128 + (error.signal_number if isinstance(error, Interrupted) else 2)


def run_command(arguments: list[str]) -> int:
    """Run a command, or print a help text; returns the exit status.

    Raises:
        ConfigError: no such command.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(format_usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"sota-exp {version('sota-exp')}")
        return 0
    if arguments[0] in ("-sc", "--shell-completion"):
        from sota_exp.cli.completion import main as complete

        complete(arguments[1:], list(COMMANDS), load_command)
        return 0
    if arguments[0] not in COMMANDS:
        from sota_exp.config.values import format_legal

        raise ConfigError(f"{arguments[0]}: no such command; {format_legal(arguments[0], COMMANDS)}")
    command, words = load_command(arguments[0]), arguments[1:]
    line = command.COMMAND
    places = [index for index, word in enumerate(words) if word in ("-h", "--help")]
    if places:
        print(line.format_help(words[: places[0]], words[places[0] + 1 :]))
        return 0
    is_trusted = line.trusts and TRUST in words
    kept = [word for word in words if not (is_trusted and word == TRUST)]
    with changed_environment({TRUST_VARIABLE: "1"} if is_trusted else {}):
        command.main(quote_paths(kept) if isinstance(line, Composition) else kept)
    return 0
