// Asks for what is new of the run, and draws it. It keeps all it was told, and goes on showing it when the server has ended.

import { draw } from "/charts.js";
import { language, words } from "/words.js";

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
const { axes } = words;
const points = (rows, name) => rows.filter((one) => one[name] != null).map((one) => [one.step, one[name]]);

const curves = () => {
  const readings = of("reading"), { step } = axes;
  draw(the("loss"), [
    { points: points(readings, "batch_loss"), faint: true },
    { points: points([...readings, ...of("measurement")].sort((a, b) => a.step - b.step), "loss") },
  ], { x: step, y: axes.loss });
  const found = new Map();
  for (const one of of("measurement")) for (const table of one.measurements) {
    const [name, value] = Object.entries(table).find(([key]) => key !== "source" && key !== "task");
    const label = `${table.source.split("/").pop()} ${name}`;
    if (value != null) found.set(label, [...(found.get(label) ?? []), [one.step, value]]);
  }
  draw(the("measured"), [...found].map(([name, these], i) => ({ points: these, name, colour: i, dots: true })), { x: step, y: "" });
  const way = readings.filter((one) => one.alignment != null && one.uniformity != null).map((one) => [one.alignment, one.uniformity]);
  draw(the("path"), [{ points: way }], { x: axes.alignment, y: axes.uniformity });
  draw(the("rank"), [{ points: points(readings, "rank_bound"), dashed: true, colour: 1 }, { points: points(readings, "effective_rank") }], { x: step, y: axes.directions });
  draw(the("gradient"), [{ points: points(readings, "gradient_norm") }], { x: step, y: axes.norm });
};

const spectra = (followed, at) => {
  const line = (one) => one.spectrum.map((share, i) => [i + 1, Math.log10(Math.max(share, 1e-12))]);
  const first = followed.length ? [{ points: line(followed[0]), faint: true }, { points: line(followed[at]) }] : [];
  draw(the("spectrum"), first, { x: axes.direction, y: axes.share });
};

const neighbours = (followed, at) => {
  if (!followed.length) return the("neighbours").replaceChildren();
  const now = followed[at], before = followed[at - 1];
  the("moment").textContent = words.moment(now.step, now.among, before);
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
  const quiet = state === "running" && silent > QUIET ? words.quiet(Math.round(silent)) : "";
  the("state").textContent = `${words[state] ?? state}${quiet}`;
  the("progress").value = state === "finished" ? 1 : (latest?.progress ?? 0);
  const parts = latest ? words.figures(latest.step, Math.round(latest.seconds), latest.loss?.toFixed(4), reading?.learning_rate?.toExponential(2)) : [];
  the("figures").textContent = parts.filter(Boolean).join(" · ");
  the("warnings").replaceChildren(...of("warning").map((one) => make("li", words.warning(one.step, one.message))));
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
    the("state").textContent = words.ended;
    wait = AFTERWARDS;
  }
  setTimeout(look, wait);
};

const name = () => {
  document.documentElement.lang = language;
  the("state").textContent = words.looking;
  the("progress").setAttribute("aria-label", words.over);
  for (const part of document.querySelectorAll("[data-say]")) part.textContent = words[part.dataset.say];
  for (const figure of document.querySelectorAll("figure")) {
    const [title, reading] = words[figure.id], caption = document.createElement("figcaption");
    caption.append(make("b", title), ` ${reading}`);
    figure.append(caption);
  }
};

name();
the("when").addEventListener("input", () => {
  atEnd = the("when").value === the("when").max;
  moments();
});
look();
