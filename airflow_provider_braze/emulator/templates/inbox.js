"use strict";
// Looks for changes, and swaps in only what changed; never while somebody reads, selects or types there.
const root = document.documentElement;
const list = document.getElementById("list");
const fresh = document.getElementById("fresh");
const link = document.getElementById("link");
const form = document.getElementById("fault");
let waiting = null;

const reading = () =>
  list.querySelector("details[open]") !== null ||
  list.contains(document.activeElement) ||
  list.getBoundingClientRect().top < -40 ||
  (!document.getSelection().isCollapsed && list.contains(document.getSelection().anchorNode));

function showMessages(page) {
  const kept = new Map([...list.querySelectorAll("[data-key]")].map((node) => [node.dataset.key, node]));
  const next = page.getElementById("list");
  list.replaceChildren(...[...next.childNodes].map((node) => kept.get(node.dataset?.key) ?? document.adoptNode(node)));
  waiting = null;
  fresh.hidden = true;
}

function offer(page) {
  const known = new Set([...list.querySelectorAll("[data-key]")].map((node) => node.dataset.key.split("-")[0]));
  const unseen = [...page.querySelectorAll("#list [data-key]")].filter((node) => !known.has(node.dataset.key.split("-")[0]));
  const moved = [...page.querySelectorAll("#list [data-key]")].some((node) => !list.querySelector(`[data-key="${CSS.escape(node.dataset.key)}"]`));
  const emptied = page.querySelector("#list .empty") !== null;
  waiting = page;
  if (!moved && !emptied) return;
  const words = unseen.length ? `${unseen.length === 50 ? "50 or more" : unseen.length} new` : "what changed";
  fresh.textContent = emptied ? "Show the emptied list" : `Show ${words}`;
  fresh.hidden = false;
}

async function refresh(asked) {
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  for (const section of document.querySelectorAll("[data-live]")) {
    const next = page.getElementById(section.id);
    if (next && next.innerHTML !== section.innerHTML && !section.contains(document.activeElement)) {
      section.replaceChildren(...[...next.childNodes].map((node) => document.adoptNode(node)));
      section.className = next.className;
    }
  }
  root.dataset.version = page.documentElement.dataset.version;
  if (!asked && reading()) offer(page);
  else showMessages(page);
}

async function look() {
  try {
    if (!document.hidden) {
      const { version } = await (await fetch("/__emulator__/version")).json();
      link.textContent = "";
      if (String(version) !== root.dataset.version) await refresh(false);
    }
  } catch {
    link.textContent = "The emulator does not answer.";
  }
  setTimeout(look, 1500);
}

async function ask(method, url, body) {
  const options = { method };
  if (body !== undefined) Object.assign(options, { body, headers: { "Content-Type": "application/json" } });
  const answer = await fetch(url, options);
  if (!answer.ok && answer.status !== 404) throw new Error((await answer.json()).error);
  document.activeElement?.blur();
  await refresh(method === "POST" && url.endsWith("/reset"));
}

function chooseKind() {
  document.getElementById("about").textContent = form.kind.selectedOptions[0].dataset.summary;
  for (const set of form.querySelectorAll("fieldset")) set.hidden = set.disabled = set.dataset.kind !== form.kind.value;
}

const asValue = (input) => {
  if (input.dataset.type === "list") return input.value.split(",").map(Number);
  if (input.dataset.type === "names") return input.value.split(",").map((name) => name.trim()).filter(Boolean);
  const isText = input.dataset.type === "text" || (input.tagName === "SELECT" && Number.isNaN(Number(input.value)));
  return isText ? input.value : Number(input.value);
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-post], [data-delete]");
  if (!button || (button.dataset.ask && !confirm(button.dataset.ask))) return;
  if (button.dataset.delete) ask("DELETE", button.dataset.delete);
  else ask("POST", button.dataset.post, button.dataset.body);
});
fresh.addEventListener("click", () => {
  if (waiting) showMessages(waiting);
  list.scrollIntoView({ block: "nearest" });
});
form.kind.addEventListener("change", chooseKind);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fault = { kind: form.kind.value, path: form.path.value || null, skip: Number(form.skip.value) };
  fault.times = form.times.value === "" ? null : Number(form.times.value);
  for (const input of form.querySelectorAll("fieldset:not([disabled]) [name]")) fault[input.name] = asValue(input);
  const trouble = document.getElementById("trouble");
  trouble.textContent = "";
  try {
    await ask("POST", "/__emulator__/faults", JSON.stringify(fault));
  } catch (error) {
    trouble.textContent = error.message;
  }
});
chooseKind();
look();
