// Gives what is wrong with a page for those who see it badly, hear it, or use it without a mouse or on a phone: a list of sentences.
(() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const name = (e) => (e.getAttribute("aria-label") || [...(e.labels || [])].map((l) => l.textContent).join(" ") ||
    (/^(A|BUTTON|SUMMARY)$/.test(e.tagName) ? e.textContent : "") || e.title || "").trim();
  const show = (e) => e.outerHTML.slice(0, 120);

  if (!document.documentElement.lang) wrong.push("the page has no language");
  if (!document.title) wrong.push("the page has no title");
  if (all("main").length !== 1) wrong.push(`${all("main").length} main elements`);
  if (all("h1").length !== 1) wrong.push(`${all("h1").length} h1`);
  let level = 0;
  for (const h of all("h1,h2,h3,h4,h5,h6")) {
    const l = Number(h.tagName[1]);
    if (l > level + 1) wrong.push(`h${l} after h${level}: ${h.textContent}`);
    level = l;
  }
  const ids = all("[id]").map((e) => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) wrong.push(`id ${id} is not unique`);
  for (const e of all("input:not([type=hidden]),select,textarea,button,a[href],summary")) if (!name(e)) wrong.push(`no name: ${show(e)}`);
  for (const e of all("img:not([alt])")) wrong.push(`no text: ${show(e)}`);
  for (const e of all("table")) if (e.rows.length && !e.querySelector("th")) wrong.push(`a table without headers: ${show(e)}`);
  for (const e of all("[style],[onclick]")) wrong.push(`style or script in the element: ${show(e)}`);
  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`the page is ${document.documentElement.scrollWidth} wide, the window ${innerWidth}`);

  // WCAG 2.2, 1.4.3.
  const rgb = (s) => { const m = s.match(/[\d.]+/g).map(Number); return [m[0], m[1], m[2], m[3] ?? 1]; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const canvas = matchMedia("(prefers-color-scheme: dark)").matches && getComputedStyle(document.documentElement).colorScheme.includes("dark") ? [18, 18, 18, 1] : [255, 255, 255, 1];
  const behind = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) layers.unshift(rgb(getComputedStyle(e).backgroundColor));
    return layers.reduce((below, top) => over(top, below), canvas);
  };
  const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => {
    const v = c[i] / 255;
    return sum + w * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || seen.has(e) || !e.checkVisibility()) continue;
    seen.add(e);
    const style = getComputedStyle(e), ground = behind(e), size = parseFloat(style.fontSize);
    const [a, b] = [luminance(over(rgb(style.color), ground)), luminance(ground)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const enough = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (contrast < enough) wrong.push(`contrast ${contrast.toFixed(2)} of "${texts.currentNode.textContent.trim().slice(0, 40)}"`);
  }
  return wrong;
})()
