// The map of a space: Vega draws the points; this file finds texts and walks from neighbour to neighbour.
"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("map-data").textContent);
  const element = (id) => document.getElementById(id);
  const make = (tag, properties, parent) => parent.appendChild(Object.assign(document.createElement(tag), properties));
  const points = data.texts.map((text, i) => {
    const row = { i, x: data.x[i], y: data.y[i] };
    data.colourings.forEach((by, c) => { row[`c${c}`] = by.hexes[by.codes[i]]; row[`g${c}`] = by.codes[i]; });
    return row;
  });
  const span = (values) => {
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const rim = (high - low || 2) * 0.04;
    return [low - rim, high + rim];
  };
  const whole = [span(data.x), span(data.y)];
  const bare = (field, domain) => ({ field, type: "quantitative", axis: null, scale: { domain, nice: false, zero: false } });
  const places = { x: bare("x", whole[0]), y: bare("y", whole[1]) };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const spec = {
    width: "container", height: Math.max(320, Math.min(560, element("map").clientWidth)),
    background: null, padding: 0, autosize: { type: "fit", contains: "padding" },
    params: [{ name: "by", value: 0 }, { name: "only", value: -1 }],
    layer: [
      {
        data: { name: "points" },
        params: [{ name: "seen", select: { type: "interval", zoom: "wheel![event.ctrlKey || event.metaKey]" }, bind: "scales" }],
        transform: [{ calculate: "datum['c' + by]", as: "colour" }, { calculate: "datum['g' + by]", as: "group" }],
        mark: { type: "circle", size: points.length > 3000 ? 18 : 36 },
        encoding: {
          ...places, color: { field: "colour", type: "nominal", scale: null, legend: null },
          tooltip: { field: "i" }, opacity: { condition: { test: "only < 0 || datum.group === only", value: 0.8 }, value: 0.06 },
        },
      },
      {
        data: { name: "chosen" }, mark: { type: "point", strokeWidth: 2.5, filled: false },
        encoding: {
          ...places, size: { field: "size", type: "quantitative", scale: null },
          stroke: { field: "ink", type: "nominal", scale: null },
        },
      },
    ],
    datasets: { points, chosen: [] },
    config: { view: { stroke: null, cursor: "grab" } },
  };
  const tooltip = (_, event, item, value) => {
    const told = value == null || value === "" ? -1 : item.datum.i, box = element("map-tip");
    box.hidden = told < 0;
    if (told < 0) return;
    box.textContent = (data.labels ? `${data.words.label}: ${data.labels[told]}\n` : "") + data.texts[told];
    const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - box.offsetWidth - 8);
    const below = event.clientY + 18 + box.offsetHeight < window.innerHeight;
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${below ? event.clientY + 18 : Math.max(8, event.clientY - box.offsetHeight - 12)}px`;
  };
  const { view } = await window.nearfarVega.embed(element("map"), spec, { actions: false, renderer: "canvas", tooltip });

  const choose = (i) => {
    const ink = () => (dark.matches ? "#ffffff" : "#000000");
    const ring = (place, size) => ({ i: place, x: data.x[place], y: data.y[place], size, ink: ink() });
    view.data("chosen", [...data.neighbours[i].map((place) => ring(place, 90)), ring(i, 320)]).runAsync();
    const panel = element("map-chosen");
    panel.hidden = false;
    element("map-text").textContent = data.texts[i];
    const list = element("map-neighbours");
    list.replaceChildren();
    data.neighbours[i].forEach((place, n) => entry(list, place, data.cosines[i][n].toFixed(3)));
  };
  const entry = (list, i, before) => {
    const button = make("button", { type: "button" }, make("li", {}, list));
    if (before) make("span", { className: "number", textContent: before }, button);
    button.append(data.texts[i]);
    if (data.labels) make("span", { className: "tag", textContent: data.labels[i] }, button);
    button.addEventListener("click", () => choose(i));
  };

  const plain = data.texts.map((text) => text.normalize("NFC").toLowerCase());
  const search = element("map-search");
  search.addEventListener("input", () => {
    const wanted = search.value.trim().normalize("NFC").toLowerCase(), list = element("map-found");
    list.replaceChildren();
    const hits = wanted ? plain.flatMap((text, i) => (text.includes(wanted) ? [i] : [])) : [];
    hits.sort((a, b) => (plain[b] === wanted) - (plain[a] === wanted));
    hits.slice(0, 20).forEach((i) => entry(list, i));
    element("map-count").textContent = !wanted ? "" : hits.length ? data.words.found.replace("{count}", hits.length) : data.words.none;
  });
  search.addEventListener("keydown", (event) => {
    const first = element("map-found").querySelector("button");
    if (event.key === "Enter" && first) { event.preventDefault(); first.click(); }
  });

  const legend = () => {
    const by = data.colourings[view.signal("by")], box = element("map-legend");
    box.replaceChildren();
    if (by.ramp) {
      make("span", { textContent: by.names[0] }, box);
      make("span", { className: "ramp" }, box).style.background = `linear-gradient(90deg, ${by.hexes.join(",")})`;
      make("span", { textContent: by.names[1] }, box);
      return;
    }
    by.names.forEach((name, code) => {
      const button = make("button", { type: "button" }, box);
      make("span", { className: "dot" }, button).style.background = by.hexes[code];
      button.append(name);
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        const pressed = button.getAttribute("aria-pressed") === "true";
        box.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", "false"));
        button.setAttribute("aria-pressed", String(!pressed));
        view.signal("only", pressed ? -1 : code).runAsync();
      });
    });
  };
  data.colourings.forEach((by, c) => make("option", { value: c, textContent: by.title }, element("map-by")));
  element("map-by").addEventListener("change", (event) => {
    view.signal("by", Number(event.target.value)).signal("only", -1).runAsync().then(legend);
  });
  const zoom = (factor) => {
    for (const [axis, all] of [["seen_x", whole[0]], ["seen_y", whole[1]]]) {
      const now = view.signal(axis) || all, middle = (now[0] + now[1]) / 2, half = (now[1] - now[0]) / 2 * factor;
      view.signal(axis, factor ? [middle - half, middle + half].sort((a, b) => a - b) : all);
    }
    view.runAsync();
  };
  element("map-closer").addEventListener("click", () => zoom(0.6));
  element("map-farther").addEventListener("click", () => zoom(1 / 0.6));
  element("map-whole").addEventListener("click", () => zoom(0));
  view.addEventListener("click", (_, item) => { if (item && item.datum && item.datum.i !== undefined) choose(item.datum.i); });
  legend();
  window.nearfarMap = { view, choose, data };
})();
