"""The command line: one table of commands, exit statuses, and errors in one line. Starts without torch and without Hydra.

Exit status: 0 done; 1 the run failed; 2 wrong usage or configuration; 128 + signal after SIGINT or SIGTERM.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable

from sota_exp.errors import ConfigError, Interrupted, RunFailed

#: What each does in a line; its module below `commands` has a `main` that takes its arguments.
COMMANDS = {
    "train": "train and evaluate one configuration",
    "sweep": "search values or options with Optuna, and confirm the winner",
    "explain": "what train would do, what it would cost, and which rules fire",
    "look": "what it would train on: pictures of batch and data, copies",
    "doctor": "what stands in the way of a training here, and its mend",
    "ablate": "which techniques help: arms with paired seeds, intervals, verdicts",
    "evaluate": "score finished weights again: other data, sizes or views",
    "predict": "what a finished run's model sees in image files",
    "export": "a finished run's model for other programs: ONNX, torch.export, MLflow",
    "compare": "what differs between runs, what came out, and how sure",
    "diff": "the exact differences of two runs",
    "rerun": "train a run's configuration anew, as it was or changed",
    "translate": "torchvision's reference command as overrides",
    "techniques": "every slot and option: what it does, its paper",
    "new-technique": "begin a technique of your own: module, YAML, test and row",
    "report": "a study or sweep as one page: effects, intervals, costs",
    "dashboard": "MLflow's page on the runs of this directory",
    "sync": "send to MLflow what is unsent",
}


def load(name: str) -> Callable[[list[str]], None]:
    """The function of a command."""
    module = importlib.import_module(f"sota_exp.cli.{name.replace('-', '_')}")
    main: Callable[[list[str]], None] = module.main
    return main


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: sota-exp COMMAND [ARGUMENT …]",
            "",
            "Which of the published techniques help on your data and your model, how much, and how sure you can be.",
            "",
            "commands:",
            *lines,
            "",
            'sota-exp COMMAND --help says more. Completion: eval "$(sota-exp --shell-completion install=bash)"',
        ]
    )


def main() -> None:
    """Run the command that `sys.argv` names and leave with its exit status."""
    spin_briefly()
    sys.exit(run(sys.argv[1:]))


def spin_briefly() -> None:
    """On a busy machine, have OpenMP's threads give their core up soon while they wait: another program needs it.

    On an idle one they wait awake, which is a twentieth faster. GNU's library reads the environment when torch is imported.
    docs/log.md, 2026-11-26, has the figures.
    """
    if "OMP_WAIT_POLICY" not in os.environ and is_busy():
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def is_busy() -> bool:
    """Whether half of the cores or more were at work in the last minute."""
    try:
        return os.getloadavg()[0] >= 0.5 * (os.cpu_count() or 1)
    except OSError:
        return False


def run(arguments: list[str]) -> int:
    """The exit status of a command line."""
    try:
        ended = dispatch(arguments)
        sys.stdout.flush()
        return ended
    except (ConfigError, RunFailed, Interrupted, KeyboardInterrupt) as error:
        if os.environ.get("SOTA_EXP_TRACEBACK") == "1":
            raise
        print(f"sota-exp: {str(error) or 'interrupted'}", file=sys.stderr)
        return status(error)
    except BrokenPipeError:  # Whoever read our words has closed the pipe, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def status(error: BaseException) -> int:
    if isinstance(error, ConfigError):
        return 2
    if isinstance(error, RunFailed):
        return 1
    return 128 + (error.signal_number if isinstance(error, Interrupted) else 2)


def dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"sota-exp {version('sota-exp')}")
        return 0
    if arguments[0] in ("-sc", "--shell-completion"):
        from sota_exp.cli.completion import main as complete

        complete(arguments[1:], list(COMMANDS))
        return 0
    if arguments[0] not in COMMANDS:
        from sota_exp.config.values import suggestion

        legal = ", ".join(COMMANDS)
        raise ConfigError(f"{arguments[0]}: no such command; legal: {legal}.{suggestion(arguments[0], COMMANDS)}")
    command = load(arguments[0])
    words = sys.modules[command.__module__].__doc__ or ""
    if words.startswith("usage: ") and {"-h", "--help"} & set(arguments):
        print(words)
    else:
        command(arguments[1:])
    return 0
