"""What can be known before training, as objects: the pictures and numbers of `look`, and the plan of a study."""

import io
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from rich.console import Console

from sota_exp.cli.python.notebook import Figures, format_facts, join_parts

if TYPE_CHECKING:
    import pandas as pd

    from sota_exp.cli.ablate_run import ShownPlan
    from sota_exp.study.results import PlannedStudy

#: Columns of a plan as text.
WIDTH = 100


class Look:
    """The pictures of `look`, and their numbers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @cached_property
    def result(self) -> dict[str, Any]:
        """The content of `look.json`."""
        return dict(json.loads((self.directory / "look.json").read_text()))

    @property
    def figures(self) -> Figures:
        """The pictures by name, such as `look.figures.batch`."""
        return Figures(self.directory)

    @property
    def summary(self) -> dict[str, list[str]]:
        """Picture → what it shows in a sentence, and warnings."""
        return dict(self.result["summary"])

    @property
    def classes(self) -> "pd.DataFrame":
        """A row for each class: the number of images in train, val and test."""
        import pandas as pd

        return pd.DataFrame(self.result["class_counts"]).rename_axis("class")

    @property
    def near_duplicates(self) -> "pd.DataFrame":
        """A row for each pair of almost equal images of two parts: the names of both, their classes, their distance."""
        import pandas as pd

        return pd.DataFrame(self.result["near_duplicates"]["pairs"])

    def __repr__(self) -> str:
        return f"<Look {self.directory.name}: {', '.join(self.summary)}>"

    def _repr_html_(self) -> str:
        shown = [
            Markup("<h4>{}</h4>").format(name) + Markup().join(format_facts([line]) for line in lines) + picture
            for name, lines in self.summary.items()
            for picture in [self.figures.show(name)]
        ]
        return join_parts(self.directory.name, *shown)


class Plan:
    """What a study would train, how long that takes, and what it can show."""

    def __init__(self, shown: "ShownPlan") -> None:
        self._shown = shown

    @property
    def study(self) -> "PlannedStudy":
        """Settings, arms and seeds, typed."""
        return self._shown.study

    @property
    def directory(self) -> Path:
        """Where `ablate` trains it with the same words."""
        return self._shown.files.directory

    @property
    def arms(self) -> "pd.DataFrame":
        """A row for each arm: label, reference, changes, runs and those that are finished, seconds of a run.

        seconds: estimated from a few real steps; missing where they were not or could not be measured.
        """
        import pandas as pd

        rows = [
            {
                "name": each.name,
                "label": each.arm.label,
                "reference": each.arm.reference,
                "changes": ", ".join(each.arm.changes),
                "runs": len(self.study.seeds),
                "finished": self._shown.files.count_finished(each, self.study.seeds),
                "seconds": seconds if isinstance(seconds := self._shown.costs.get(each.name), float) else None,
            }
            for each in self.study.arms.ready
        ]
        return pd.DataFrame(rows).set_index("name").astype({"seconds": float})

    @property
    def options(self) -> "pd.DataFrame":
        """What `study.time` can buy: a row for each design, with `recommended`; empty without `study.time`.

        shows, shows_here: the smallest effect that four of five studies would show, on images like the tested ones, and
        on these.
        """
        import pandas as pd

        plan = self.study.time_plan or {"options": [], "recommended": None}
        found = pd.DataFrame(plan["options"])
        return found.assign(recommended=[number == plan["recommended"] for number in range(len(found))])

    @property
    def seconds(self) -> float:
        """How long the runs that are missing take, one after the other; NaN where an arm is not measured."""
        arms = self.arms
        return float(((arms.runs - arms.finished) * arms.seconds).sum(skipna=False))

    def __str__(self) -> str:
        """What the shell prints."""
        from sota_exp.study.terminal import format_study_heading  # imports SciPy

        out = io.StringIO()
        console = Console(file=out, width=WIDTH, force_jupyter=False, color_system=None)
        for part in (*format_study_heading(self.study, self._shown.files), self._shown.shown):
            console.print(part)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

    def __repr__(self) -> str:
        return f"<Plan {self.study.name}: {self.study.describe_size()}>"

    def _repr_html_(self) -> str:
        return join_parts(self.study.settings.title, Markup("<pre>{}</pre>").format(str(self)))
