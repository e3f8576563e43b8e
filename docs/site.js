// What is wider than a narrow screen scrolls: the arrow keys must reach it.
function reach() {
  for (const each of document.querySelectorAll(".md-typeset__scrollwrap, .notebook-output, .md-typeset pre > code")) {
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
    else each.removeAttribute("tabindex");
  }
}
addEventListener("load", () => requestAnimationFrame(reach));
addEventListener("resize", reach);
