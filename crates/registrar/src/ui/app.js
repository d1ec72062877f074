// The dashboard of a registrar. What comes from the network is put in as text only.
"use strict";

const TICK = 1000, FAST = 250, TIMEOUT = 2500, DRAW = 100;
const PAGE = 200;        // rows that exist at most
const CHIPS = 24;        // servers of a pool with words beside their marks
const MARKS = 256;       // servers of a pool that have a mark
const ALL = 512;         // servers of all pools that are watched one by one
const GONE = 30000;      // a server that is gone stays to be seen for so long
const EVENTS = 200;

const $ = (id) => document.getElementById(id);
const now = () => performance.now();
const seen = {
  registrar: null, peers: [], peersGone: new Map(), pools: [], poolsNext: null, poolsAfter: null,
  elements: new Map(), gone: new Map(), complete: false, events: [], lastId: null,
  page: null, pageNext: null, pageAfter: null, open: null, answers: [], trouble: null,
};
let paused = false, live = false, since = null, offset = 0, token = null, stream = null, fatal = null;
try { token = sessionStorage.getItem("token"); } catch { /* none is kept */ }

// Making and keeping nodes

function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function put(node, text) {
  text = String(text);
  if (node.textContent !== text) node.textContent = text;
}

// Makes the children of a node those of a list; what is there already stays, and keeps its focus.
function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((node) => [node.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    let node = old.get(id);
    if (node) old.delete(id); else { node = make(item); node.key = id; }
    if (update) update(node, item);
    if (node === place) place = place.nextElementSibling; else parent.insertBefore(node, place);
  }
  for (const node of old.values()) node.remove();
}

// Words

const plural = (count, one, many = one + "s") => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
const span = (ms) => ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : ms < 3600000 ? `${Math.round(ms / 60000)} min` : `${Math.round(ms / 3600000)} h`;
const clock = (date) => date.toTimeString().slice(0, 8);
const cut = (text, max = 64) => text.length > max ? text.slice(0, max) + "…" : text;
const rate = (value) => value < 10 ? value.toFixed(1) : value < 1e4 ? Math.round(value).toLocaleString("en") : `${Math.round(value / 1000).toLocaleString("en")} k`;
const name = (pool, id) => `${id} ${pool}`;
const watcher = (id) => !id ? "–" : id + (seen.registrar && id === seen.registrar.id ? " (this one)" : "");
function where(element) {
  const at = element.addresses && element.addresses[0];
  return at ? (at.includes(":") ? `[${at}]` : at) + ":" + element.port : "–";
}

// Asking

const headers = (more) => Object.assign(token ? { authorization: `Bearer ${token}` } : {}, more);

async function get(path) {
  const reply = await fetch(path, { headers: headers({ accept: "application/json" }), signal: AbortSignal.timeout(TIMEOUT), cache: "no-store" });
  const date = Date.parse(reply.headers.get("date"));
  if (date) offset = date - Date.now();
  if (reply.ok) return reply.json();
  const problem = await reply.json().catch(() => ({}));
  const error = new Error(problem.detail || problem.title || `the answer was ${reply.status}`);
  error.status = reply.status;
  throw error;
}

function failed(error) {
  if (error.status === 401 || error.status === 403) {
    $("sign").hidden = false;
    fatal = error.message;
    put($("signing-why"), error.message);
  } else if (error.status === 404 && seen.open) {
    seen.page = [];
  } else {
    fatal = error.status ? error.message : null;
    offline();
  }
  draw();
}

function online() {
  if (!live && seen.registrar) say("live again");
  live = true; since = null; fatal = null;
}

function offline() {
  if (live || !since) since = new Date();
  live = false;
}

// Lists, again and again

const active = () => !paused && !document.hidden;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let wake = () => {};

async function ticks() {
  let pause = TICK;
  for (;;) {
    if (active()) {
      try { await tick(); online(); pause = TICK; } catch (error) { failed(error); pause = Math.min(pause * 1.5, 15000); }
      draw();
    }
    await sleep(pause);
  }
}

async function tick() {
  const find = $("find").value;
  const more = (find ? `&prefix=${encodeURIComponent(find)}` : "") + (seen.poolsAfter ? `&after=${encodeURIComponent(seen.poolsAfter)}` : "");
  const [registrar, peers, pools] = await Promise.all([get("/v1/registrar"), get("/v1/peers?limit=256"), get(`/v1/pools?limit=${PAGE}${more}`)]);
  if (seen.registrar && seen.registrar.boot !== registrar.boot) { forget(); }
  const before = seen.registrar;
  seen.registrar = registrar;
  for (const peer of seen.peers) if (!peers.items.some((it) => it.id === peer.id)) seen.peersGone.set(peer.id, { ...peer, state: "dead", goneAt: now() });
  for (const peer of peers.items) seen.peersGone.delete(peer.id);
  seen.peers = peers.items;
  seen.pools = pools.items; seen.poolsNext = pools.next;
  if (before) {
    const took = registrar.uptime_ms - before.uptime_ms;
    if (took > 0) seen.answers.push((registrar.answers - before.answers) / took * 1000);
    if (seen.answers.length > 120) seen.answers.shift();
  }
  if (seen.open) await readPage();
  if (seen.registrar.elements > ALL) { seen.elements.clear(); seen.complete = false; }
}

function forget() {
  seen.elements.clear(); seen.gone.clear(); seen.complete = false; seen.answers = []; seen.trouble = null; seen.peers = [];
}

async function readPage() {
  const open = seen.open;
  const more = seen.pageAfter ? `&after=${encodeURIComponent(seen.pageAfter)}` : "";
  try {
    const page = await get(`/v1/pools/${encodeURIComponent(open)}/elements?limit=${PAGE}${more}`);
    if (open === seen.open) { seen.page = page.items; seen.pageNext = page.next; }
  } catch (error) {
    if (error.status !== 404) throw error;
    seen.page = []; seen.pageNext = null;
  }
}

// Where there are few servers, each is watched by itself.
async function marks() {
  for (;;) {
    const count = seen.registrar ? seen.registrar.elements : Infinity;
    if (active() && live && count <= ALL) {
      const asked = now();
      try {
        const list = await get(`/v1/elements?limit=${ALL}`);
        if (!list.next) compare(list.items, asked);
        draw();
      } catch (error) { failed(error); }
    }
    const pause = seen.elements.size > 64 ? TICK : FAST;
    await Promise.race([sleep(pause), new Promise((resolve) => { wake = resolve; })]);
  }
}

function compare(items, asked) {
  const fresh = new Map();
  for (const element of items) {
    const key = name(element.pool, element.id), gone = seen.gone.get(key);
    if (gone && gone.at > asked) continue;
    seen.gone.delete(key);
    fresh.set(key, element);
    // What happens at this registrar it tells by itself.
    if (seen.complete && !element.own && !seen.elements.has(key)) {
      note({ type: "joined", pool: element.pool, id: element.id, text: `${element.id} joined ${cut(element.pool)}, watched by ${element.home}` });
    }
  }
  for (const [key, element] of seen.elements) {
    if (fresh.has(key) || seen.gone.has(key)) continue;
    const text = `its registrar ${element.home} took it out`;
    leave(element, { reason: element.own ? "" : "removed", text });
    if (!element.own) note({ type: "left", pool: element.pool, id: element.id, text: `${element.id} left ${cut(element.pool)}: ${text}` });
  }
  seen.elements = fresh; seen.complete = true;
}

function leave(element, why) {
  const key = name(element.pool, element.id), known = seen.elements.get(key) || (seen.gone.get(key) || {}).element;
  seen.gone.set(key, { at: now(), when: new Date(Date.now() + offset), element: known || element, ...why });
  seen.elements.delete(key);
  if (why.reason !== "deregistered" && why.reason !== "") {
    const others = [...seen.elements.values()].filter((it) => it.pool === element.pool).length;
    const pool = seen.pools.find((it) => it.pool === element.pool);
    seen.trouble = { at: now(), kind: others || !seen.complete ? "wait" : "bad", text: `A server of ${cut(element.pool)} is gone`, detail: why, element: known || element, pool, others };
  }
}

// Events, as they happen

async function follow() {
  let pause = TICK;
  for (;;) {
    if (active()) {
      stream = new AbortController();
      try { await read(stream.signal); pause = TICK; } catch (error) { if (active()) { failed(error); pause = Math.min(pause * 1.5, 15000); } }
    }
    await sleep(active() ? pause : TICK);
  }
}

async function read(signal) {
  const first = seen.lastId ? { "last-event-id": seen.lastId } : {};
  const path = seen.lastId ? "/v1/events" : "/v1/events?since=10m";
  const reply = await fetch(path, { headers: headers({ accept: "text/event-stream", ...first }), signal, cache: "no-store" });
  if (!reply.ok) { const error = new Error(`the answer was ${reply.status}`); error.status = reply.status; throw error; }
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) { wake(); throw new Error("the stream ended"); }
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) take(part);
    draw();
  }
}

function take(part) {
  let id = null, data = "";
  for (const line of part.split("\n")) {
    if (line.startsWith("id:")) id = line.slice(3).trim();
    else if (line.startsWith("data:")) data += line.slice(5).trim();
  }
  if (!data) return;
  const event = JSON.parse(data);
  if (id) seen.lastId = id;
  if (event.type === "gap") event.text = `${plural(event.missed, "event")} came too fast, or too long ago, to be shown`;
  const age = event.at ? Date.now() + offset - Date.parse(event.at) : 0;
  const fresh = age < GONE;
  if (event.type === "left" && fresh) {
    seen.events = seen.events.filter((it) => !(it.own && it.type === "left" && it.id === event.id && it.pool === event.pool));
    leave({ pool: event.pool, id: event.id, home: seen.registrar && seen.registrar.id }, { reason: event.reason, text: event.text.replace(/^.*?: /s, ""), own: true });
  }
  if (fresh) trouble(event);
  note(event);
  wake();
}

function trouble(event) {
  const who = event.peer, by = event.by;
  const tell = (kind, text, more) => { seen.trouble = { at: now(), kind, text, more }; };
  switch (event.type) {
    case "peer-suspected": tell("wait", `Registrar ${who} is silent`, "It is asked whether it lives. Its servers go on meanwhile."); break;
    case "peer-lost": tell("wait", `Registrar ${who} is dead`, "Another registrar takes over the servers that it watched. They go on meanwhile."); break;
    case "takeover-won": tell("wait", `Registrar ${who} is dead`, `This registrar took over its ${plural(event.elements, "server")}; none was lost.`); break;
    case "taken-over": tell("wait", `Registrar ${who} is dead`, `Registrar ${by} took over its ${plural(event.elements, "server")}; none was lost.`); break;
    case "peer-back": case "takeover-stopped": tell("good", `Registrar ${who} lives`, "It had been silent; nothing was changed."); break;
    case "departed": tell("bad", "This registrar leaves", "Turn to another one."); break;
  }
}

function note(event) {
  event.date = event.at ? new Date(event.at) : new Date(Date.now() + offset);
  event.own = !event.at;
  event.key = event.own ? `own-${note.count = (note.count || 0) + 1}` : `${seen.registrar ? seen.registrar.boot : ""}-${event.seq}-${event.type}`;
  event.count = 1;
  const alike = seen.events.filter((it) => it.type === event.type && it.pool === event.pool && event.date - it.date < 1000);
  if (alike.length > 20) { const first = alike[0]; first.count += 1; first.text = `${first.count.toLocaleString("en")} more servers: ${event.type}, ${cut(event.pool || "")}`; return; }
  seen.events.unshift(event);
  if (seen.events.length > EVENTS) seen.events.length = EVENTS;
  if (event.type === "left" || /^(peer-lost|peer-suspected|taken-over|takeover-won)$/.test(event.type)) say(event.text);
}

// Who does not see the page hears of it, not more often than every five seconds.
let spoken = -Infinity, waiting = null;
function say(text) {
  const wait = spoken + 5000 - now();
  if (wait > 0) { clearTimeout(waiting); waiting = setTimeout(() => say(text), wait); return; }
  spoken = now();
  put($("said"), cut(text, 200));
}

// Drawing, ten times a second at most

let drawn = -Infinity, planned = false;
function draw() {
  if (planned) return;
  planned = true;
  setTimeout(() => { planned = false; drawn = now(); paint(); }, Math.max(0, drawn + DRAW - now()));
}

function paint() {
  const t = now();
  for (const [key, gone] of seen.gone) if (t - gone.at > GONE) seen.gone.delete(key);
  for (const [id, peer] of seen.peersGone) if (t - peer.goneAt > GONE) seen.peersGone.delete(id);
  if (seen.trouble && t - seen.trouble.at > GONE) seen.trouble = null;
  paintHead();
  if (!seen.registrar) return;
  paintNow(); paintRegistrars(); paintEvents();
  $("overview").hidden = seen.open !== null; $("pool").hidden = seen.open === null;
  if (seen.open === null) paintPools(); else paintPool();
}

function paintHead() {
  const bar = $("bar"), cannot = fatal || (!live && since);
  document.body.classList.toggle("old", !live && seen.registrar !== null);
  bar.hidden = !cannot;
  if (cannot) put(bar, live || !since ? fatal : `Not live since ${clock(since)}; trying again.${fatal ? ` ${fatal}` : " What you see is how it was then."}`);
  put($("live"), paused ? "paused" : live ? "live" : since ? "not live" : "connecting");
  $("live").className = `live ${paused ? "" : live ? "on" : since ? "off" : ""}`;
  const r = seen.registrar;
  if (!r) return;
  put($("who"), r.id);
  document.title = `rserpool ${r.id}${live ? "" : ", not live"}`;
  const others = seen.peers.filter((it) => it.state !== "dead");
  const differ = others.filter((it) => it.agrees === false).length;
  put($("state"), r.state === "serving" ? (others.length ? `${plural(others.length + 1, "registrar")}, ${differ ? `${differ} differ` : "all agree"}` : "the only registrar") : r.state);
}

function paintNow() {
  const r = seen.registrar, t = seen.trouble;
  let kind = "good", head, detail = "";
  if (t && t.element) {
    kind = t.kind; head = t.text;
    const go = t.others > 0 ? ` ${plural(t.others, "other server")} of the pool ${t.others === 1 ? "goes" : "go"} on: clients turn to ${t.others === 1 ? "it" : "them"}.` : seen.complete ? " The pool has no other server." : "";
    const home = t.element.home || r.id;
    detail = t.detail.own ? `${t.element.id}: ${t.detail.text}. Registrar ${watcher(home)} noticed, and told the others.${go}` : `Registrar ${watcher(home)} noticed, and took ${t.element.id} out of the pool.${go}`;
  } else if (t) {
    ({ kind, text: head, more: detail } = t);
  } else if (r.state !== "serving") {
    kind = "wait"; head = r.state === "departed" ? "This registrar has left" : "This registrar is starting";
  } else if (r.elements === 0) {
    head = "No server is registered yet"; detail = "A server joins a pool like this:";
  } else {
    head = `All is well: ${plural(r.elements, "server")} in ${plural(r.pools, "pool")}`;
    detail = `Watched by ${plural(seen.peers.filter((it) => it.state !== "dead").length + 1, "registrar")}. If one of them dies, the others go on.`;
  }
  put($("headline"), head); put($("detail"), detail);
  $("now").className = kind;
  $("how").hidden = r.elements > 0 || r.state !== "serving" || Boolean(t);
  put($("how"), `rserpool serve echo --pool EchoPool --registrar ${r.asap[0] || "URL"}`);
  const last = seen.answers.at(-1);
  const numbers = [["servers", r.elements.toLocaleString("en")], ["watched here", r.own.toLocaleString("en")], ["pools", r.pools.toLocaleString("en")], ["answers a second", last === undefined ? "–" : rate(last)], ["up", span(r.uptime_ms)]];
  keyed($("numbers"), numbers, ([label]) => label, ([label]) => {
    const value = h("dd", {}, h("span"));
    if (label.startsWith("answers")) value.append(chart());
    return h("div", {}, h("dt", {}, label), value);
  }, (node, [label, value]) => {
    put(node.querySelector("dd span"), value);
    if (label.startsWith("answers")) plot(node.querySelector("polyline"));
  });
}

const SVG = "http://www.w3.org/2000/svg";
function chart() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 120 20"); svg.setAttribute("preserveAspectRatio", "none"); svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "polyline"));
  return svg;
}
function plot(line) {
  const most = Math.max(1, ...seen.answers), first = 120 - seen.answers.length;
  line.setAttribute("points", seen.answers.map((value, place) => `${first + place},${(19 - 18 * value / most).toFixed(1)}`).join(" "));
}

function paintRegistrars() {
  const r = seen.registrar, mine = { id: r.id, state: r.state, elements: r.own, self: true };
  const list = [mine, ...seen.peers, ...seen.peersGone.values()].sort((a, b) => a.id < b.id ? -1 : 1);
  keyed($("registrars"), list.slice(0, 64), (it) => it.id, (it) => h("li", {},
    h("div", { class: "row" }, h("b", { class: "id" }, it.id), h("span", { class: "word" })),
    h("div", { class: "about" }), h("div", { class: "meter", "aria-hidden": "true" }, h("span"))), (node, it) => {
    const kind = it.self || it.state === "active" ? "" : it.state === "suspected" ? "wait" : "bad";
    node.className = kind;
    const word = it.self ? (it.state === "serving" ? "alive" : it.state) : it.state === "active" ? "alive" : it.state === "suspected" ? `silent for ${span(it.last_heard_ms)}` : "dead";
    const differs = it.agrees === false && it.state === "active" ? ", differs" : "";
    put(node.querySelector(".word"), word + differs);
    const count = it.state === "dead" ? 0 : it.elements;
    put(node.querySelector(".about"), `${it.self ? "this one, " : ""}watches ${plural(count, "server")}`);
    node.querySelector(".meter span").style.width = `${r.elements ? Math.min(100, 100 * count / r.elements) : 0}%`;
  });
}

function stateOf(element, gone) {
  if (gone) return gone.reason === "deregistered" ? { kind: "bad", mark: "gone", word: "left", more: gone.text } : { kind: "bad", mark: "gone", word: "gone", more: gone.text };
  const s = element.supervision;
  if (s && s.asked_ms_ago > Math.max(60, 4 * (s.rtt_ms || 0))) return { kind: "wait", mark: "asked", word: "asked", more: `no answer for ${span(s.asked_ms_ago)}` };
  return { kind: "alive", mark: "alive", word: "alive", more: `watched by ${watcher(element.home)}` };
}

function paintPools() {
  const of = new Map();
  const add = (element, gone) => {
    if (!of.has(element.pool)) of.set(element.pool, []);
    of.get(element.pool).push({ element, gone });
  };
  for (const element of seen.elements.values()) add(element);
  for (const gone of seen.gone.values()) add(gone.element, gone);
  const find = $("find").value, shown = [...seen.pools];
  for (const [pool, list] of of) if (!shown.some((it) => it.pool === pool) && pool.startsWith(find) && !seen.poolsAfter && !seen.poolsNext) shown.push({ pool, elements: 0, own: 0, policy: "", transport: "", ended: list.every((it) => it.gone) });
  keyed($("pools"), shown.slice(0, PAGE), (it) => it.pool, (it) => {
    const open = h("button", { type: "button" }, cut(it.pool, 128));
    open.addEventListener("click", () => { location.hash = `pool=${encodeURIComponent(it.pool)}`; });
    return h("li", {}, h("div", { class: "row" }, h("h3", {}, open), h("span", { class: "count" })), h("p", { class: "about" }), h("ul", { class: "marks" }));
  }, (node, it) => {
    const list = (of.get(it.pool) || []).sort((a, b) => a.element.id < b.element.id ? -1 : 1);
    const gone = list.filter((one) => one.gone).length;
    put(node.querySelector(".count"), `${seen.complete ? plural(list.length - gone, "server") : plural(it.elements, "server")}${gone ? `, ${gone} gone` : ""}`);
    put(node.querySelector(".about"), it.policy ? `${it.policy}, over ${it.transport}; ${it.own.toLocaleString("en")} watched here` : "its last server is gone");
    const marks = node.querySelector(".marks"), many = list.length > CHIPS;
    marks.classList.toggle("many", many);
    const some = list.length > MARKS ? [] : list;
    keyed(marks, some, (one) => `${many} ${one.element.id}`, (one) => element(one.element, many), (chip, one) => {
      const state = stateOf(one.element, one.gone);
      chip.className = `element ${state.kind}`;
      chip.firstChild.className = `mark ${state.mark}`;
      if (many) { chip.title = `${one.element.id}: ${state.word}, ${state.more}`; put(chip.lastChild, chip.title); return; }
      put(chip.querySelector(".word"), state.word);
      put(chip.querySelector(".about"), state.more);
    });
  });
  $("pools-next").hidden = !seen.poolsNext; $("pools-first").hidden = !seen.poolsAfter;
}

function element(it, many) {
  const mark = h("span", { class: "mark", "aria-hidden": "true" });
  if (many) return h("li", {}, mark, h("span", { class: "unseen" }));
  return h("li", {}, mark, h("span", {}, h("span", { class: "id" }, it.id), " ", h("span", { class: "word" }), h("span", { class: "about" })));
}

function paintPool() {
  put($("pool-title"), cut(seen.open, 256));
  const pool = seen.pools.find((it) => it.pool === seen.open);
  const rows = (seen.page || []).map((it) => ({ element: it }));
  const present = new Set(rows.map((it) => it.element.id));
  for (const gone of seen.gone.values()) if (gone.element.pool === seen.open && !present.has(gone.element.id)) rows.push({ element: gone.element, gone });
  put($("pool-about"), seen.page === null ? "…" : pool ? `${pool.policy}, over ${pool.transport}, ${plural(pool.elements, "server")}` : `${plural(seen.page.length, "server")} shown`);
  keyed($("elements"), rows.slice(0, PAGE + 56), (it) => it.element.id, (it) => h("tr", {}, h("th", { scope: "row", class: "id" }, it.element.id), h("td", {}, h("span", { class: "mark", "aria-hidden": "true" }), " ", h("span")), h("td", { "data-label": "where" }), h("td", { "data-label": "watched by" }), h("td", { "data-label": "answers in" })), (row, it) => {
    const gone = it.gone || seen.gone.get(name(seen.open, it.element.id)), state = stateOf(it.element, gone), cells = row.children, s = it.element.supervision;
    cells[1].firstChild.className = `mark ${state.mark}`;
    put(cells[1].lastChild, state.kind === "alive" ? "alive" : `${state.word}: ${state.more}`);
    put(cells[2], where(it.element)); put(cells[3], watcher(it.element.home)); put(cells[4], s && s.rtt_ms !== null ? span(s.rtt_ms) : "–");
  });
  $("elements-next").hidden = !seen.pageNext; $("elements-first").hidden = !seen.pageAfter;
}

const TAGS = { joined: ["good", "joined"], left: ["bad", "gone"], "peer-up": ["good", "registrar"], "peer-back": ["good", "registrar"], "peer-lost": ["bad", "registrar dead"], "peer-suspected": ["wait", "registrar silent"], "takeover-won": ["good", "taken over"], "taken-over": ["good", "taken over"], moved: ["good", "moved"], gap: ["wait", "gap"], rejected: ["wait", "refused"], misbehaviour: ["bad", "registrar"], conflict: ["bad", "conflict"] };

function paintEvents() {
  const kind = $("kind").value, servers = /^(joined|left|moved|rejected)$/;
  const list = seen.events.filter((it) => !kind || (kind === "servers") === servers.test(it.type)).slice(0, 100);
  $("quiet").hidden = list.length > 0;
  keyed($("events"), list, (it) => it.key, (it) => {
    const deregistered = it.type === "left" && it.reason === "deregistered";
    const [color, tag] = deregistered ? ["", "left"] : TAGS[it.type] || ["", it.type.replaceAll("-", " ")];
    const node = h("li", { class: color }, h("time", { datetime: it.date.toISOString() }, clock(it.date)), h("span", { class: "tag" }, tag), h("p", {}));
    if (it.evidence && !deregistered) {
      const pairs = Object.entries(it.evidence).filter(([, value]) => value !== null).flatMap(([label, value]) => [h("dt", {}, label.replaceAll("_", " ")), h("dd", {}, String(value))]);
      node.append(h("details", {}, h("summary", {}, "why"), h("dl", { class: "pairs" }, ...pairs)));
    }
    return node;
  }, (node, it) => put(node.querySelector("p"), it.text || it.type));
}

// Hands

function route() {
  const match = /^#pool=(.+)$/.exec(location.hash);
  let open = null;
  try { open = match && decodeURIComponent(match[1]); } catch { /* no pool */ }
  if (open !== seen.open) { seen.open = open; seen.page = null; seen.pageNext = seen.pageAfter = null; }
  if (seen.registrar) {
    if (open !== null) readPage().catch(failed).finally(draw);
    paint();
    (open !== null ? $("pool-title") : $("main")).focus();
  }
}

function toggle() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  put($("pause"), paused ? "Go on" : "Pause");
  if (paused && stream) stream.abort();
  draw();
}

function theme(next) {
  document.documentElement.dataset.theme = next;
  put($("theme"), next === "dark" ? "Light" : "Dark");
  try { localStorage.setItem("theme", next); } catch { /* not kept */ }
}

function again() { tick().then(online, failed).finally(draw); }

function start() {
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* the system's then */ }
  const dark = () => document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  if (kept === "dark" || kept === "light") theme(kept); else put($("theme"), dark() ? "Light" : "Dark");
  $("theme").addEventListener("click", () => theme(dark() ? "light" : "dark"));
  $("pause").addEventListener("click", toggle);
  $("help").addEventListener("click", () => $("helping").showModal());
  $("sign").addEventListener("click", () => $("signing").showModal());
  $("signing").addEventListener("close", () => {
    if ($("signing").returnValue !== "in") return;
    token = $("token").value.trim() || null; $("token").value = "";
    try { if (token) sessionStorage.setItem("token", token); else sessionStorage.removeItem("token"); } catch { /* for this page only */ }
    fatal = null;
    if (stream) stream.abort();
    again();
  });
  $("back").addEventListener("click", () => { location.hash = ""; });
  let typing = null;
  $("find").addEventListener("input", () => { seen.poolsAfter = null; clearTimeout(typing); typing = setTimeout(again, 200); });
  $("kind").addEventListener("change", draw);
  $("pools-next").addEventListener("click", () => { seen.poolsAfter = seen.poolsNext; again(); });
  $("pools-first").addEventListener("click", () => { seen.poolsAfter = null; again(); });
  const turn = (after) => { seen.pageAfter = after; readPage().catch(failed).finally(draw); };
  $("elements-next").addEventListener("click", () => turn(seen.pageNext));
  $("elements-first").addEventListener("click", () => turn(null));
  addEventListener("hashchange", route);
  document.addEventListener("visibilitychange", () => { if (document.hidden && stream) stream.abort(); else again(); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") { if (seen.open !== null) location.hash = ""; return; }
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const pools = [...document.querySelectorAll("#pools h3 button")], place = pools.indexOf(document.activeElement);
    if (event.key === "/") { event.preventDefault(); $("find").focus(); }
    else if (event.key === "?") $("helping").showModal();
    else if (event.key === "p") toggle();
    else if (event.key === "j" && pools.length) pools[Math.min(place + 1, pools.length - 1)].focus();
    else if (event.key === "k" && pools.length) pools[Math.max(place - 1, 0)].focus();
  });
  route();
  ticks(); marks(); follow();
  setInterval(draw, 500);
}

start();
