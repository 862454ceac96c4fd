// Asks for what is new of the run, and draws it. It keeps all it was told, and goes on showing it when the server has ended.

import { draw } from "/charts.js";

const EVERY = 1000, AFTERWARDS = 10000, QUIET = 60;
const the = (id) => document.getElementById(id);
const make = (name, text, kind) => {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

let run = "", offset = 0, entries = [], atEnd = true;
const of = (kind) => entries.filter((one) => one.kind === kind);
const points = (rows, name) => rows.filter((one) => one[name] != null).map((one) => [one.step, one[name]]);

const curves = () => {
  const readings = of("reading"), step = "step";
  draw(the("loss"), [
    { points: points(readings, "batch_loss"), faint: true },
    { points: points([...readings, ...of("measurement")].sort((a, b) => a.step - b.step), "loss") },
  ], { x: step, y: "loss" });
  const found = new Map();
  for (const one of of("measurement")) for (const table of one.measurements) {
    const [name, value] = Object.entries(table).find(([key]) => key !== "source" && key !== "task");
    const label = `${table.source.split("/").pop()} ${name}`;
    if (value != null) found.set(label, [...(found.get(label) ?? []), [one.step, value]]);
  }
  draw(the("measured"), [...found].map(([name, these], i) => ({ points: these, name, colour: i, dots: true })), { x: step, y: "" });
  const way = readings.filter((one) => one.alignment != null && one.uniformity != null).map((one) => [one.alignment, one.uniformity]);
  draw(the("path"), [{ points: way }], { x: "alignment", y: "uniformity" });
  draw(the("rank"), [{ points: points(readings, "rank_bound"), dashed: true, colour: 1 }, { points: points(readings, "effective_rank") }], { x: step, y: "directions" });
  draw(the("gradient"), [{ points: points(readings, "gradient_norm") }], { x: step, y: "norm" });
};

const spectra = (followed, at) => {
  const line = (one) => one.spectrum.map((share, i) => [i + 1, Math.log10(Math.max(share, 1e-12))]);
  const first = followed.length ? [{ points: line(followed[0]), faint: true }, { points: line(followed[at]) }] : [];
  draw(the("spectrum"), first, { x: "direction", y: "log10 of its share" });
};

const neighbours = (followed, at) => {
  if (!followed.length) return the("neighbours").replaceChildren();
  const now = followed[at], before = followed[at - 1];
  the("moment").textContent = `After step ${now.step}, among ${now.among} texts.${before ? " What was not among the nearest at the measurement before is bold." : ""}`;
  the("neighbours").replaceChildren(...now.texts.map((one, i) => {
    const known = new Set(before ? before.texts[i].near.map((other) => other.text) : one.near.map((other) => other.text));
    const list = document.createElement("ol");
    for (const other of one.near) {
      const item = make("li", `${other.text} `, known.has(other.text) ? "" : "new");
      item.append(make("small", other.cosine == null ? "" : other.cosine.toFixed(3)));
      list.append(item);
    }
    const part = document.createElement("div");
    part.append(make("h3", one.text), list);
    return part;
  }));
};

const moments = () => {
  const followed = of("followed"), when = the("when"), last = Math.max(0, followed.length - 1);
  when.max = last;
  when.disabled = !last;
  if (atEnd) when.value = last;
  const at = Math.min(+when.value, last);
  spectra(followed, at);
  neighbours(followed, at);
};

const heading = (state, silent) => {
  const latest = entries.filter((one) => one.progress != null).at(-1), reading = of("reading").at(-1);
  const quiet = state === "running" && silent > QUIET ? `; nothing new for ${Math.round(silent)} s` : "";
  the("state").textContent = { waiting: "waiting for the run to begin", running: `running${quiet}`, finished: "finished" }[state] ?? state;
  the("progress").value = state === "finished" ? 1 : (latest?.progress ?? 0);
  const parts = latest ? [`step ${latest.step}`, `${Math.round(latest.seconds)} s`] : [];
  if (latest?.loss != null) parts.push(`loss ${latest.loss.toFixed(4)}`);
  if (reading?.learning_rate != null) parts.push(`rate ${reading.learning_rate.toExponential(2)}`);
  the("figures").textContent = parts.join(" · ");
  the("warnings").replaceChildren(...of("warning").map((one) => make("li", `step ${one.step}: ${one.message}`)));
};

const look = async () => {
  let wait = EVERY;
  try {
    const answer = await (await fetch(`/news.json?run=${encodeURIComponent(run)}&offset=${offset}`)).json();
    if (answer.anew) entries = [];
    ({ run, offset } = answer);
    entries.push(...answer.entries);
    the("name").textContent = document.title = answer.name;
    heading(answer.state, answer.silent);
    if (answer.entries.length || answer.anew) { curves(); moments(); }
    if (answer.entries.length) wait = Math.min(wait, answer.state === "finished" ? 50 : EVERY);
    else if (answer.state === "finished") wait = AFTERWARDS;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // fetch's, where nobody answers
    the("state").textContent = "the server has ended; this is what was known";
    wait = AFTERWARDS;
  }
  setTimeout(look, wait);
};

the("when").addEventListener("input", () => {
  atEnd = the("when").value === the("when").max;
  moments();
});
look();
