/* The theme puts each copy button into a landmark of its own, which nobody can tell apart. */
new MutationObserver(() => {
  for (const nav of document.querySelectorAll("nav.md-code__nav:not([role])")) {
    nav.setAttribute("role", "none");
  }
}).observe(document.documentElement, { childList: true, subtree: true });
