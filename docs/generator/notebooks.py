"""The notebooks of the documentation: run by a kernel, and shown as pages.

`python docs/generator/notebooks.py` runs all of them anew and keeps what they showed, times and places aside.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))

#: The study that one of them reads, as if it had been made in the folder.
STUDY = DOCS / "results" / "first_study"

#: Seconds for which a cell may run.
CELL_SECONDS = 300


def run(path: Path, folder: Path) -> Any:
    """Run a notebook in a folder, and return it with what its cells showed; a `CellExecutionError` if one fails."""
    notebook = nbformat.read(path, as_version=4)
    shutil.copytree(STUDY, folder / "multirun" / STUDY.name)
    client = NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(folder)}})
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                output.pop("execution_count", None)
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook


def to_markdown(path: Path) -> str:
    """A notebook as a page, with its code and what it showed."""
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        parts += [part for output in cell.outputs if (part := show(output))]
    title, *rest = parts
    return "\n\n".join([title, f"*This page is a notebook: [{path.name}]({path.name}).*", *rest]) + "\n"


def show(output: Any) -> str:
    """What a cell showed, as Markdown."""
    if output.output_type == "stream":
        plain = re.sub(r"\x1b[^m]*m", "", output.text).strip()
        return f"``` {{ .text .wrapped }}\n{plain}\n```"
    data = output.data
    if "text/html" in data:
        html = re.sub(r"<style.*?</style>|\n\s*", "", data["text/html"], flags=re.DOTALL)
        return f'<div class="notebook-output">{html}</div>'
    return f"```text\n{data['text/plain']}\n```"


def main() -> None:
    """Run the notebooks that the command line names, or all, and write what they showed into them."""
    for path in [each for each in NOTEBOOKS if each.stem in sys.argv[1:] or not sys.argv[1:]]:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run(path, Path(folder)), path)


if __name__ == "__main__":
    main()
