"use strict";
// Brings the page up to date. What the agent sends is a tree of [tag, attributes, ...children]: texts become text nodes,
// whatever they are. What has not changed is left alone, and with it the focus, and what somebody has selected.
// At full five seconds by the clock: all that are open then ask together, which costs the agent half as much.
const EVERY_MS = 5000;
const SVG = "http://www.w3.org/2000/svg";
const late = document.getElementById("late");
const main = document.querySelector("main");
let timer = 0, answered = new Date();

function fits(old, tree) {
  if (typeof tree === "string") return old.nodeType === Node.TEXT_NODE;
  return old.localName === tree[0] && old.id === (tree[1].id ?? "");
}

// The node at this place, made for what is to be there: what has gone from before it is removed, what is new comes in.
function placed(parent, place, tree) {
  const rest = [...parent.childNodes].slice(place), at = rest.findIndex((old) => fits(old, tree));
  rest.slice(0, Math.max(0, at)).forEach((gone) => gone.remove());
  if (at >= 0) return rest[at];
  const namespace = tree[0] === "svg" ? SVG : parent.namespaceURI;
  const made = typeof tree === "string" ? document.createTextNode(tree) : document.createElementNS(namespace, tree[0]);
  return parent.insertBefore(made, rest[0] ?? null);
}

function draw(node, tree) {
  if (typeof tree === "string") {
    if (node.data !== tree) node.data = tree;
    return;
  }
  const [, attributes, ...children] = tree;
  for (const name of node.getAttributeNames()) if (!(name in attributes)) node.removeAttribute(name);
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  children.forEach((child, place) => draw(placed(node, place, child), child));
  while (node.childNodes.length > children.length) node.lastChild.remove();
}

function say(words) {
  if (late.textContent !== words) late.textContent = words;
}

async function look() {
  clearTimeout(timer);
  try {
    const answer = await fetch("api/v1/page", { signal: AbortSignal.timeout(EVERY_MS) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const tree = await answer.json();
    if (tree[1]["data-version"] !== main.dataset.version) location.reload();
    draw(main, tree);
    answered = new Date();
    say("");
  } catch {
    say(`This is old: the agent has not answered since ${answered.toLocaleTimeString()}.`);
  }
  if (!document.hidden) wait();
}

function wait() {
  timer = setTimeout(look, EVERY_MS - Date.now() % EVERY_MS);
}

document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else look(); });
wait();
