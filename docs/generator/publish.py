"""Publish a study or a search in docs/results: its file, and the page that `sota-exp report` writes of it.

`python docs/generator/publish.py multirun/MY_STUDY few_images/240 DIR=/my/photographs` writes `few_images/240.json` and
`few_images/240.html`. Weights and photographs stay out. Paths become the words before `=`. All pages share one copy of Vega.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sota_exp.report.drawing.chart import build_script

RESULTS = Path(__file__).resolve().parents[1] / "results"

#: The copy of Vega beside the pages. A module can't be loaded from a file in a browser, a deferred script can.
SCRIPT = "charts.js"

#: What the page's gallery is made of, and weights.
LEFT_OUT = shutil.ignore_patterns("*.safetensors", "mistakes.npz", "cache", "*.db")

#: How a path is written in a page: with places to break it, within an address, quoted.
SLASH, QUOTE = r"(?:/(?:<wbr>)?|%2F)", "'|&#x27;|&#39;|%27|"

#: Folders that no published file names.
MACHINE = re.compile(r"(?:/|%2F)(?:home|root|tmp|work|Users|mnt|media|data|scratch|srv|opt|var|exp)(?:/|%2F)[^\"'<> ]*")


def write_page(folder: Path, place: Path) -> str:
    """The page of a copy of the folder, which has no photographs in it."""
    copy = place / folder.name
    shutil.copytree(folder, copy, ignore=LEFT_OUT)
    subprocess.run([sys.executable, "-m", "sota_exp", "report", str(copy)], check=True, stdout=subprocess.DEVNULL)
    return (copy / "report.html").read_text()


def hide(text: str, words: list[list[str]]) -> str:
    """Each path as its word, however it is written: quoted, with places to break it, or within an address."""
    for word, path in sorted(words, key=lambda pair: -len(pair[1])):
        written = SLASH.join(map(re.escape, path.split("/")))
        text = re.sub(f"({QUOTE}){written}\\1", word, text)
    if found := MACHINE.search(text):
        raise SystemExit(f"the page names a path of this machine: {found[0]}; give it a word: NAME={found[0]}")
    return text


def share_script(page: str) -> str:
    """The page with the copy of Vega beside all pages instead of its own."""
    script = build_script()
    (RESULTS / SCRIPT).write_text(f'(()=>{{"use strict";{script}}})();\n')
    return page.replace(f'<script type="module">{script}</script>', f'<script defer src="../{SCRIPT}"></script>')


def main(folder: Path, name: str, words: list[list[str]]) -> None:
    """Write NAME.json and NAME.html."""
    (source,) = [path for path in (folder / "study.json", folder / "sweep.json") if path.exists()]
    with tempfile.TemporaryDirectory() as place:
        page = share_script(write_page(folder.resolve(), Path(place)))
    words = [*words, ["", f"{place}/"]]
    page = re.sub(r'<a href="runs/[^"]*">(.*?)</a>', r"\1", page)
    target = RESULTS / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    page = page.replace(f'href="{source.name}"', f'href="{target.name}"')
    target.with_suffix(".html").write_text(hide(page, words))
    target.write_text(hide(source.read_text(), words))


if __name__ == "__main__":
    study, name, *pairs = sys.argv[1:]
    main(Path(study), name, [pair.split("=", 1) for pair in pairs])
