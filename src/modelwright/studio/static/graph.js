// Lays out the steps (dagre) and draws them; pan, zoom, fit, search, a small map, all by keyboard too.
// The states come from the list of steps, which the page keeps up to date.
"use strict";

(() => {
  const section = document.getElementById("graph");
  if (!section || !window.dagre) return;
  const view = section.querySelector(".graph-view");
  const map = section.querySelector(".minimap");
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 50;
  const LONGEST = 30;
  const data = JSON.parse(section.dataset.graph);
  const list = document.getElementById("step-list");

  function make(name, attributes, parent, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  }

  const short = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);
  const ruler = document.createElement("canvas").getContext("2d");
  const family = getComputedStyle(document.body).fontFamily;
  const width = (text, font) => {
    ruler.font = `${font} ${family}`;
    return ruler.measureText(text).width;
  };

  // Layout

  const layout = new window.dagre.graphlib.Graph();
  layout.setGraph({
    rankdir: "TB", nodesep: 28, ranksep: 48, marginx: 24, marginy: 24,
    ranker: data.nodes.length > 120 ? "longest-path" : "network-simplex",
  });
  layout.setDefaultEdgeLabel(() => ({}));
  for (const node of data.nodes) {
    const room = Math.max(width(short(node.title), "600 13px"), width(node.type, "11.5px"));
    layout.setNode(node.name, { width: Math.max(140, Math.ceil(room + 58)), height: HEIGHT });
  }
  for (const [source, target, label] of data.edges) {
    layout.setEdge(source, target, label ? { width: 34, height: 16, labelpos: "c" } : {});
  }
  const began = performance.now();
  window.dagre.layout(layout);
  section.dataset.layout = String(Math.round(performance.now() - began));
  // dagre's own size leaves out how far its edges reach.
  const reach = layout.edges().flatMap((edge) => layout.edge(edge).points.map((point) => point.x));
  const left = Math.min(0, ...reach.map((x) => x - 12));
  const right = Math.max(layout.graph().width || 1, ...reach.map((x) => x + 12));
  const whole = { left, width: right - left, height: layout.graph().height || 1 };

  // Drawing

  const svg = make("svg", { role: "group" }, view);
  const arrows = make("marker", {
    id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto",
  }, make("defs", {}, svg));
  make("path", { d: "M0 0L8 4L0 8z", class: "arrow" }, arrows);
  const world = make("g", {}, svg);
  const nodes = new Map();
  const edges = [];

  function curve(points) {
    let path = `M${points[0].x} ${points[0].y}`;
    for (let i = 1; i < points.length - 1; i++) {
      const end = i === points.length - 2 ? points[i + 1]
        : { x: (points[i].x + points[i + 1].x) / 2, y: (points[i].y + points[i + 1].y) / 2 };
      path += `Q${points[i].x} ${points[i].y} ${end.x} ${end.y}`;
    }
    return points.length === 2 ? `${path}L${points[1].x} ${points[1].y}` : path;
  }

  for (const [source, target, label] of data.edges) {
    const edge = layout.edge(source, target);
    const group = make("g", { class: "edge" }, world);
    make("path", { d: curve(edge.points), "marker-end": "url(#arrow)" }, group);
    if (label) {
      make("rect", { x: edge.x - 18, y: edge.y - 9, width: 36, height: 18, rx: 9 }, group);
      make("text", { x: edge.x, y: edge.y + 4, "text-anchor": "middle" }, group, label);
    }
    edges.push({ source, target, group });
  }
  const GLYPHS = { ok: "M-4 0L-1 3L4 -3", bad: "M-3 -3L3 3M3 -3L-3 3" };
  for (const node of data.nodes) {
    const place = layout.node(node.name);
    const attributes = { transform: `translate(${place.x - place.width / 2} ${place.y - HEIGHT / 2})`, class: "node idle" };
    const group = list
      ? make("a", { ...attributes, href: `?step=${encodeURIComponent(node.name)}`, "data-swap": "" }, world)
      : make("g", { ...attributes, tabindex: 0 }, world);
    const title = make("title", {}, group, `${node.title}, ${node.type}`);
    make("rect", { class: "box", width: place.width, height: HEIGHT, rx: 12 }, group);
    make("circle", { class: "dotmark", cx: 24, cy: HEIGHT / 2, r: 9 }, group);
    const glyph = make("path", { class: "glyph", transform: `translate(24 ${HEIGHT / 2})`, d: "" }, group);
    make("text", { class: "title", x: 43, y: 22 }, group, short(node.title));
    make("text", { class: "kind", x: 43, y: 38 }, group, node.type);
    const small = make("rect", {
      x: place.x - place.width / 2, y: place.y - HEIGHT / 2, width: place.width, height: HEIGHT, rx: 8,
    }, map);
    nodes.set(node.name, { node, group, title, glyph, small, place });
    group.addEventListener("focus", () => { if (group.matches(":focus-visible")) reveal(place); });
  }
  map.setAttribute("viewBox", `${whole.left} 0 ${whole.width} ${whole.height}`);
  const frame = make("rect", { class: "window" }, map);

  // States

  function states() {
    for (const row of document.querySelectorAll("#step-list [data-step]")) {
      const found = nodes.get(row.dataset.step);
      if (!found) continue;
      const colour = row.dataset.colour;
      found.title.textContent = `${found.node.title}, ${found.node.type}: ${row.dataset.text}`;
      for (const each of ["ok", "run", "bad", "warn", "idle"]) found.group.classList.toggle(each, each === colour);
      found.group.dataset.status = row.dataset.status;
      found.small.setAttribute("class", colour);
      found.glyph.setAttribute("d", GLYPHS[colour] || "");
    }
    const selected = new URLSearchParams(location.search).get("step");
    for (const [name, found] of nodes) {
      found.group.classList.toggle("selected", name === selected);
      if (name === selected) found.group.setAttribute("aria-current", "true");
      else found.group.removeAttribute("aria-current");
    }
  }
  document.addEventListener("parts", states);

  // Moving about

  const at = { x: 0, y: 0, k: 1 };
  let fitted = true;
  const size = () => ({ width: view.clientWidth || 1, height: view.clientHeight || 1 });

  function apply() {
    world.setAttribute("transform", `translate(${at.x} ${at.y}) scale(${at.k})`);
    const { width: w, height: h } = size();
    frame.setAttribute("x", -at.x / at.k);
    frame.setAttribute("y", -at.y / at.k);
    frame.setAttribute("width", w / at.k);
    frame.setAttribute("height", h / at.k);
    const begin = at.x + whole.left * at.k;
    const all = begin >= 0 && at.y >= 0 && begin + whole.width * at.k <= w && at.y + whole.height * at.k <= h;
    map.toggleAttribute("hidden", all);
  }

  function fit() {
    const { width: w, height: h } = size();
    const top = 46;
    at.k = Math.min(1.15, w / whole.width, (h - top) / whole.height);
    if (at.k < 0.3) at.k = 0.3; // too many to be read at once: begin at the top, the small map shows the rest
    at.x = (w - whole.width * at.k) / 2 - whole.left * at.k;
    at.y = Math.max(top, (h + top - whole.height * at.k) / 2);
    fitted = true;
    apply();
  }

  function fitAll() {
    const { width: w, height: h } = size();
    at.k = Math.min(1.15, w / whole.width, h / whole.height);
    at.x = (w - whole.width * at.k) / 2 - whole.left * at.k;
    at.y = (h - whole.height * at.k) / 2;
    fitted = true;
    apply();
  }

  function zoom(factor, x, y) {
    const { width: w, height: h } = size();
    const px = x ?? w / 2;
    const py = y ?? h / 2;
    const k = Math.min(4, Math.max(0.02, at.k * factor));
    at.x = px - ((px - at.x) * k) / at.k;
    at.y = py - ((py - at.y) * k) / at.k;
    at.k = k;
    fitted = false;
    apply();
  }

  function move(dx, dy) {
    at.x += dx;
    at.y += dy;
    fitted = false;
    apply();
  }

  function center(x, y) {
    const { width: w, height: h } = size();
    at.x = w / 2 - x * at.k;
    at.y = h / 2 - y * at.k;
    fitted = false;
    apply();
  }

  function reveal(place) {
    const { width: w, height: h } = size();
    const x = at.x + place.x * at.k;
    const y = at.y + place.y * at.k;
    if (x < 60 || y < 60 || x > w - 60 || y > h - 40) center(place.x, place.y);
  }

  section.addEventListener("click", (event) => {
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (act === "in") zoom(1.25);
    if (act === "out") zoom(0.8);
    if (act === "fit") fitAll();
  });
  // The nearest step in the arrow's direction.
  function next(from, key) {
    let best = null;
    for (const { group, place } of nodes.values()) {
      const x = place.x - from.x;
      const y = place.y - from.y;
      const [along, across] = { ArrowDown: [y, x], ArrowUp: [-y, x], ArrowRight: [x, y], ArrowLeft: [-x, y] }[key];
      const far = along + 2 * Math.abs(across);
      if (along > 1 && (!best || far < best.far)) best = { far, group };
    }
    return best && best.group;
  }

  view.addEventListener("keydown", (event) => {
    const focused = event.key.startsWith("Arrow") && [...nodes.values()].find(({ group }) => group === document.activeElement);
    if (focused) {
      event.preventDefault();
      next(focused.place, event.key)?.focus();
      return;
    }
    const steps = {
      ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60],
    }[event.key];
    if (steps) move(...steps);
    else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fitAll();
    else return;
    event.preventDefault();
  });
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== view && !view.contains(document.activeElement)) return;
    event.preventDefault();
    const box = view.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  let drag = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    drag = { x: event.clientX, y: event.clientY, moved: false };
  });
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    const dx = event.clientX - drag.x;
    const dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    drag.moved = true;
    view.classList.add("moving");
    move(dx, dy);
    drag.x = event.clientX;
    drag.y = event.clientY;
  });
  let dragged = false;
  addEventListener("pointerup", () => {
    dragged = Boolean(drag && drag.moved);
    drag = null;
    view.classList.remove("moving");
  });
  view.addEventListener("click", (event) => {
    if (!dragged) return;
    dragged = false; // a drag that ended on a step is no click on it
    event.preventDefault();
    event.stopPropagation();
  }, true);
  view.addEventListener("dragstart", (event) => event.preventDefault());
  map.addEventListener("click", (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    center(point.x, point.y);
  });

  const search = document.getElementById("graph-search");
  const found = () => {
    const words = search.value.trim().toLowerCase();
    return [...nodes.values()].filter(({ node }) => words && `${node.name} ${node.title} ${node.type}`.toLowerCase().includes(words));
  };
  search.addEventListener("input", () => {
    const hits = new Set(found());
    for (const each of nodes.values()) each.group.classList.toggle("dim", Boolean(search.value.trim()) && !hits.has(each));
    for (const edge of edges) edge.group.classList.toggle("dim", Boolean(search.value.trim()));
    const first = [...hits][0];
    if (first) reveal(first.place);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    found()[0]?.group.focus();
  });

  new ResizeObserver(() => { if (fitted) fit(); else apply(); }).observe(view);
  states();
  fit();
})();
