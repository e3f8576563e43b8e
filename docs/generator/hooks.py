"""Hooks of MkDocs: generated pages join the others, and links to files of the repository lead to their pages."""

import os
import re
from pathlib import Path

import pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebooks import NOTEBOOKS, to_markdown

ROOT = pages.DOCS.parent

#: Files of the repository that are pages too → their places.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "development/contributing.md",
    "SECURITY.md": "reference/security.md",
    "CHANGELOG.md": "development/changelog.md",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let the menu have the pages of all techniques."""
    for section in config.nav or ():
        if "Techniques" in section:
            section["Techniques"] += [{each.name: f"techniques/{each.slug}.md"} for each in pages.read_techniques()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/, and those of the techniques."""
    for name, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    for notebook in NOTEBOOKS:
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=to_markdown(notebook)))
    for technique in pages.read_techniques():
        text = pages.build_technique_page(technique)
        files.append(File.generated(config, f"techniques/{technique.slug}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Expand the generated parts of a page, and turn links to files into links to pages."""
    if page.file.src_uri == "techniques.md":
        for each in pages.read_techniques():
            markdown = markdown.replace(f"\n| {each.name} |", f"\n| [{each.name}](techniques/{each.slug}.md) |")
    if page.file.abs_src_path is None:
        return markdown
    origin = Path(page.file.abs_src_path).resolve()
    places = {file.abs_src_path: file.src_uri for file in files if file.abs_src_path}
    places |= {str(notebook): f"notebooks/{notebook.stem}.md" for notebook in NOTEBOOKS}

    def lead(found: re.Match[str]) -> str:
        text, link, anchor = found.groups()
        target = (origin.parent / link).resolve()
        if str(target) in places:
            return f"[{text}]({os.path.relpath(places[str(target)], Path(page.file.src_uri).parent)}{anchor or ''})"
        return text if target.exists() and pages.DOCS not in target.parents else found[0]

    return re.sub(r"\[([^\]]*)\]\(([^)#\s:]+)(#[^)]*)?\)", lead, pages.expand(markdown))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Give the theme's dialog of the search a name, for those who hear the page."""
    return output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )
