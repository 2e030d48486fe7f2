/* What the theme makes in the browser. It puts each copy button into a landmark of its own, which
   nobody can tell apart, and wide tables into frames that no key can scroll. */
new MutationObserver(() => {
  for (const nav of document.querySelectorAll("nav.md-code__nav:not([role])")) {
    nav.setAttribute("role", "none");
  }
  for (const frame of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    frame.setAttribute("tabindex", "0");
  }
}).observe(document.documentElement, { childList: true, subtree: true });
