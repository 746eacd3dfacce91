// Sorts, filters and opens claims, and follows links between the parts of the page. Without it every
// claim is open and nothing is lost.
(() => {
  const table = document.querySelector("table.claims");
  const claims = [...table.tBodies];
  const headings = [...table.querySelectorAll("thead button")];
  const filters = document.querySelector(".filters");
  const find = document.getElementById("find");
  const task = document.getElementById("task");
  const sorting = document.getElementById("sort");
  const shown = document.getElementById("shown");
  const chips = [...filters.querySelectorAll(".chip")];
  // What a row says is looked for in its first line, not in all it opens to.
  const texts = new Map(claims.map((claim) => [claim, claim.rows[0].textContent.toLowerCase()]));
  const keys = new Map(claims.map((claim) => [claim, claim.dataset.keys.split(",").map(Number)]));

  const countOf = (claim) => Number(claim.dataset.claims);
  const total = claims.reduce((sum, claim) => sum + countOf(claim), 0);

  const isOpen = (claim) => !claim.rows[1].hidden;
  const open = (claim, wanted) => {
    claim.rows[1].hidden = !wanted;
    claim.querySelector(".toggle").setAttribute("aria-expanded", String(wanted));
  };

  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.verdict);
    let left = 0;
    for (const claim of claims) {
      const fits = words.every((word) => texts.get(claim).includes(word))
        && (!task.value || claim.dataset.task === task.value)
        && (!verdicts.length || verdicts.includes(claim.dataset.verdict));
      claim.hidden = !fits;
      left += fits ? countOf(claim) : 0;
    }
    shown.textContent = left === total ? `${total} claims` : `${left} of ${total} claims`;
  };
  const clear = () => {
    find.value = task.value = "";
    for (const chip of chips) chip.setAttribute("aria-pressed", "false");
    filter();
  };

  // The order in which the page was written: what does not hold comes first.
  const WRITTEN = 5;
  let order = { column: WRITTEN, down: 1 };
  const sort = (column, down) => {
    order = { column, down };
    const of = (claim) => keys.get(claim);
    const sorted = [...claims].sort((a, b) => down * (of(a)[column] - of(b)[column]) || of(a)[0] - of(b)[0]);
    table.append(...sorted);
    for (const heading of headings) {
      const here = Number(heading.dataset.column) === column;
      if (here) heading.parentElement.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
      else heading.parentElement.removeAttribute("aria-sort");
    }
    sorting.value = String(column);
  };

  // Leads to what an address names: a claim or a node is shown and opened.
  const follow = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const target = id && document.getElementById(id);
    if (!target) return;
    const inside = target.closest("details");
    if (inside) inside.open = true;
    const claim = target.closest("table.claims > tbody");
    claims.forEach((other) => other.classList.toggle("here", other === claim));
    if (claim) {
      if (claim.hidden) clear();
      open(claim, true);
    }
    target.scrollIntoView({ block: "start" });
  };

  for (const claim of claims) {
    open(claim, false);
    claim.querySelector(".toggle").addEventListener("click", () => open(claim, !isOpen(claim)));
  }
  for (const heading of headings) {
    const column = Number(heading.dataset.column);
    heading.addEventListener("click", () => sort(column, order.column === column ? -order.down : 1));
  }
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }
  find.addEventListener("input", filter);
  task.addEventListener("change", filter);
  sorting.addEventListener("change", () => sort(Number(sorting.value), 1));
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", (event) => {
    event.preventDefault();
    clear();
  });
  document.getElementById("open-all").addEventListener("click", () => claims.forEach((claim) => claim.hidden || open(claim, true)));
  document.getElementById("close-all").addEventListener("click", () => claims.forEach((claim) => open(claim, false)));

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(".to-graph");
    if (link) {
      // The graph finds a vertex by one of the nodes and the variable it is of.
      const seek = document.querySelector(".circuit-figure input[type=search]");
      seek.value = link.dataset.find;
      seek.dispatchEvent(new Event("input", { bubbles: true }));
    }
    const same = event.target.closest?.("a[href^='#']");
    // An address that is there already changes nothing, and still must lead back.
    if (same && same.getAttribute("href") === location.hash) follow();
  });
  for (const button of document.querySelectorAll(".copy")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }
  // The page follows the system until the reader says otherwise: then the rules for dark hold or do not.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const darkRules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
    .filter((rule) => rule.media?.mediaText.includes("prefers-color-scheme"));
  const theme = document.querySelector(".theme");
  let isDark = dark.matches;
  const name = () => { theme.textContent = isDark ? "light" : "dark"; };
  theme.setAttribute("aria-label", "Switch between light and dark");
  theme.addEventListener("click", () => {
    isDark = !isDark;
    for (const rule of darkRules) rule.media.mediaText = isDark ? "screen" : "not all";
    document.documentElement.style.colorScheme = isDark ? "dark" : "light";
    name();
  });
  theme.hidden = false;
  name();
  window.addEventListener("hashchange", follow);
  // On paper nothing can be opened, so all of it is.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const part of folded) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of folded) part.open = false;
  });
  filters.hidden = false;
  sort(WRITTEN, 1);
  filter();
  follow();
})();
