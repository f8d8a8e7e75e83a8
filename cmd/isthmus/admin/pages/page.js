"use strict";
// "/" goes to the search field, as elsewhere; the pages work without this.
document.addEventListener("keydown", function (e) {
  const field = document.getElementById("search");
  if (field && e.key === "/" && !e.ctrlKey && !e.metaKey && !e.altKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    e.preventDefault();
    field.focus();
    field.select();
  }
});
// A selection is shown at once.
for (const select of document.querySelectorAll(".filter select")) {
  select.addEventListener("change", function () { select.form.requestSubmit(); });
}
