// Makes the graphs of a page interactive: drag to pan, buttons or wheel to zoom, click to highlight
// what a vertex depends on and what it feeds.
(() => {
  const listed = (title, items) => items.length ? `${title}:\n${items.map((item) => `  ${item}`).join("\n")}` : `${title}: nothing`;

  const follow = (start, edges, near, far) => {
    const seen = new Set([start]);
    for (const vertex of seen) {
      for (const edge of edges) {
        if (edge.dataset[near] === vertex) seen.add(edge.dataset[far]);
      }
    }
    return seen;
  };

  for (const figure of document.querySelectorAll(".circuit-figure")) {
    const svg = figure.querySelector("svg");
    const panel = figure.querySelector(".told");
    const find = figure.querySelector("input[type=search]");
    const silent = figure.querySelector("input[type=checkbox]");
    const way = figure.querySelector("select");
    const vertices = [...svg.querySelectorAll(".vertex")];
    const edges = [...svg.querySelectorAll(".edge")];
    const standing = edges.filter((edge) => edge.classList.contains("stands"));
    const nameOf = (element) => element.querySelector("title").textContent;
    const hint = panel.textContent;
    const whole = [0, 0, svg.width.baseVal.value, svg.height.baseVal.value];
    let view = [...whole];
    let chosen = null;

    const show = () => svg.setAttribute("viewBox", view.join(" "));
    const pointOf = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const zoom = (by, x = view[0] + view[2] / 2, y = view[1] + view[3] / 2) => {
      const width = Math.min(Math.max(view[2] * by, whole[2] / 20), whole[2] * 2);
      const ratio = width / view[2];
      view = [x - (x - view[0]) * ratio, y - (y - view[1]) * ratio, width, view[3] * ratio];
      show();
    };
    const fit = () => {
      view = [...whole];
      show();
    };
    // On a narrow page of its own, a graph starts large enough to read, at the answer.
    const width = svg.getBoundingClientRect().width;
    if ("page" in figure.dataset && whole[2] > 2 * width) zoom((1.25 * width) / whole[2], whole[2]);

    const choose = (vertex) => {
      chosen = vertex;
      const lit = new Set();
      if (vertex) {
        const start = vertex.dataset.vertex;
        if (way.value !== "feeds") follow(start, standing, "to", "from").forEach((v) => lit.add(v));
        const before = new Set(lit);
        const after = way.value !== "rests" ? follow(start, standing, "from", "to") : new Set();
        after.forEach((v) => lit.add(v));
        for (const edge of edges) {
          const { from, to } = edge.dataset;
          const both = (set) => set.has(from) && set.has(to);
          edge.classList.toggle("on", edge.classList.contains("stands") && (both(before) || both(after)));
        }
        // Edges that propagate verdicts come first.
        const told = (end) => [...standing, ...edges.filter((edge) => !standing.includes(edge))].filter((edge) => edge.dataset[end] === start).map(nameOf);
        const [incoming, outgoing] = [told("to"), told("from")];
        panel.textContent = [nameOf(vertex), listed("fed by", incoming), listed("feeds", outgoing)].join("\n");
      } else {
        edges.forEach((edge) => edge.classList.remove("on"));
        panel.textContent = hint;
      }
      svg.classList.toggle("lit", Boolean(vertex));
      for (const other of vertices) {
        other.classList.toggle("on", lit.has(other.dataset.vertex));
        other.classList.toggle("chosen", other === vertex);
      }
    };

    let dragged = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button === 0) dragged = { at: pointOf(event), far: 0, id: event.pointerId };
    });
    svg.addEventListener("pointermove", (event) => {
      if (!dragged) return;
      const at = pointOf(event);
      dragged.far += Math.abs(event.movementX) + Math.abs(event.movementY);
      // Only a drag takes the pointer: a click must still reach the box under it.
      if (dragged.far > 3 && !svg.hasPointerCapture(dragged.id)) svg.setPointerCapture(dragged.id);
      view[0] += dragged.at.x - at.x;
      view[1] += dragged.at.y - at.y;
      show();
    });
    const release = (event) => {
      const still = dragged && dragged.far <= 3;
      dragged = null;
      if (still && event.type === "pointerup") choose(event.target.closest(".vertex"));
    };
    svg.addEventListener("pointerup", release);
    svg.addEventListener("pointercancel", release);
    svg.addEventListener("wheel", (event) => {
      // In a page of text the wheel goes on scrolling the text.
      if (!figure.hasAttribute("data-page") && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const { x, y } = pointOf(event);
      zoom(1.0015 ** event.deltaY, x, y);
    }, { passive: false });

    const actions = { in: () => zoom(0.8), out: () => zoom(1.25), fit };
    for (const button of figure.querySelectorAll("button")) {
      button.addEventListener("click", actions[button.dataset.do]);
    }
    const quiet = () => svg.classList.toggle("quiet", !silent.checked);
    silent.addEventListener("change", quiet);
    way.addEventListener("change", () => choose(chosen));
    const seek = (text) => {
      const wanted = text.trim().toLowerCase();
      const words = (vertex) => nameOf(vertex).toLowerCase().split(/[ +:]+/);
      const exact = vertices.find((vertex) => words(vertex).includes(wanted));
      choose(wanted ? exact ?? vertices.find((vertex) => nameOf(vertex).toLowerCase().includes(wanted)) ?? null : null);
    };
    find.addEventListener("input", () => seek(find.value));
    figure.addEventListener("keydown", (event) => {
      const vertex = event.target.closest?.(".vertex");
      if (event.key === "Escape") choose(null);
      else if (vertex && (event.key === "Enter" || event.key === " ")) choose(vertex);
      else if (event.target === find) return;
      else if (event.key === "+" || event.key === "=") zoom(0.8);
      else if (event.key === "-") zoom(1.25);
      else if (event.key === "0") fit();
      else return;
      event.preventDefault();
    });
    figure.querySelector(".bar").hidden = false;
    quiet();
    // A page opened at #A1.ST or #P9L0H1 selects that vertex.
    if (figure.hasAttribute("data-page") && location.hash) {
      find.value = decodeURIComponent(location.hash.slice(1));
      seek(find.value);
    }
  }
})();
