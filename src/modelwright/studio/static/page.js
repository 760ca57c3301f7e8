// What every page has: times in the viewer's zone, copy buttons, swapped parts, one live connection.
// A page is whole without this file; it only saves reloading.
"use strict";

(() => {
  const html = document.documentElement;
  html.classList.add("scripted");
  const language = html.lang;
  const moment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });

  function ago(milliseconds) {
    const seconds = (milliseconds - Date.now()) / 1000;
    for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
      if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
    }
    return relative.format(Math.min(0, Math.trunc(seconds)), "second");
  }

  function duration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    const [s, min, h] = language === "ko" ? ["초", "분", "시간"] : [" s", " min", " h"];
    if (whole < 60) return `${whole}${s}`;
    if (whole < 3600) return `${Math.floor(whole / 60)}${min} ${String(whole % 60).padStart(2, "0")}${s}`;
    return `${Math.floor(whole / 3600)}${h} ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}${min}`;
  }

  function times(root) {
    for (const element of root.querySelectorAll("time[data-when]")) {
      element.textContent = moment.format(Number(element.dataset.when));
    }
    for (const element of root.querySelectorAll("time[data-ago]")) {
      element.title = moment.format(Number(element.dataset.ago));
    }
    tick(root);
  }

  function tick(root) {
    for (const element of root.querySelectorAll("time[data-ago]")) {
      element.textContent = ago(Number(element.dataset.ago));
    }
    for (const element of root.querySelectorAll("[data-since]")) {
      element.textContent = duration((Date.now() - Number(element.dataset.since)) / 1000);
    }
  }

  function toTheEnd(log) {
    if (log) log.scrollTop = log.scrollHeight;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    const label = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = label; }, 1500);
  });

  // Parts: elements with data-part are taken from a fresh copy of the page.

  // What an element is known by on a fresh copy of the page.
  const sign = (element) => `${element.tagName} ${element.getAttribute("href") || `${element.name} ${element.value} ${element.textContent}`}`;

  function replaceParts(fresh, everything) {
    for (const part of document.querySelectorAll("[data-part]")) {
      const other = fresh.getElementById(part.id);
      if (!other) continue;
      times(other);
      const log = part.querySelector("#log");
      const freshLog = other.querySelector("#log");
      if (!everything && log && freshLog && log.dataset.job === freshLog.dataset.job) {
        freshLog.replaceWith(log.cloneNode(true)); // its lines come over the connection
      }
      if (part.innerHTML === other.innerHTML) continue;
      if (!everything && part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) continue;
      const open = new Set([...part.querySelectorAll("details[open][id]")].map((each) => each.id));
      const chosen = [...part.querySelectorAll("input:checked")].map((each) => [each.name, each.value]);
      const focused = part.contains(document.activeElement) ? sign(document.activeElement) : null;
      const place = log ? [log.scrollTop, log.scrollTop + log.clientHeight >= log.scrollHeight - 8] : null;
      const left = new Map([...part.querySelectorAll("[data-tail]")] // where somebody reads further up
        .filter((each) => each.scrollTop + each.clientHeight < each.scrollHeight - 8)
        .map((each) => [each.id, each.scrollTop]));
      part.replaceChildren(...[...other.childNodes].map((node) => document.adoptNode(node)));
      for (const id of open) part.querySelector(`details[id="${id}"]`)?.setAttribute("open", "");
      for (const [name, value] of chosen) {
        const box = [...part.querySelectorAll("input")].find((each) => each.name === name && each.value === value);
        if (box) box.checked = true;
      }
      if (focused) [...part.querySelectorAll("a, button, summary")].find((each) => sign(each) === focused)?.focus();
      const newLog = part.querySelector("#log");
      if (newLog && (everything || !place || place[1])) toTheEnd(newLog);
      else if (newLog) newLog.scrollTop = place[0];
      for (const each of part.querySelectorAll("[data-tail]")) {
        if (left.has(each.id)) each.scrollTop = left.get(each.id);
        else toTheEnd(each);
      }
    }
    document.dispatchEvent(new Event("parts"));
  }

  // Whoever deletes what the page shows is on the way to another page: nothing may be asked for, or reloaded, meanwhile.
  let leaving = false;
  function stay() {
    leaving = false;
    if (source) refresh();
  }
  addEventListener("beforeunload", () => {
    leaving = true;
    setTimeout(stay, 10000); // it was a download
  });
  addEventListener("pageshow", (event) => { if (event.persisted) stay(); });

  async function load(address) {
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    const signedOut = answer.redirected && new URL(answer.url).pathname.endsWith("/sign-in");
    const deleted = answer.status === 404 && address === location.href;
    if (signedOut || deleted) {
      if (!leaving) location.reload();
      return null;
    }
    if (!answer.ok) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  let refreshing = null;
  async function refresh() {
    if (leaving) return;
    if (refreshing) { refreshing.again = true; return; }
    const mine = refreshing = { again: false };
    const address = location.href;
    try {
      const fresh = await load(address);
      if (fresh && address === location.href) {
        replaceParts(fresh, false);
        document.body.dataset.live = fresh.body.dataset.live || "";
        connect();
      }
    } catch { /* the connection is gone; it says so itself, and asks again when it is back */ }
    refreshing = null;
    if (mine.again) refresh();
  }

  let shown = location.href;
  async function show(address, remember) {
    let fresh = null;
    try { fresh = await load(address); } catch { /* told below */ }
    if (!fresh) { location.href = address; return; }
    const step = new URLSearchParams(new URL(shown).search).get("step");
    if (remember) history.pushState({}, "", address);
    shown = address;
    document.title = fresh.title;
    document.body.dataset.live = fresh.body.dataset.live || "";
    replaceParts(fresh, true);
    // What had the focus is gone: it goes back to the step that was open.
    if (document.activeElement === document.body && step) document.querySelector(`.node[href="?step=${CSS.escape(encodeURIComponent(step))}"]`)?.focus();
    connected = null; // the log on the page was just read: go on after that
    connect();
  }

  document.addEventListener("click", (event) => {
    const anchor = event.target.closest("a[data-swap]");
    if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    show(new URL(anchor.getAttribute("href"), location.href).href, true);
  });
  addEventListener("popstate", () => show(location.href, false));
  window.studio = { show };

  // Escape closes what is open, and the focus goes back to what opened it.

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    const open = document.activeElement.closest("details:is(.menu, .confirm)[open]") || document.querySelector("details.menu[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
      return;
    }
    if (!document.activeElement.matches("input, select, textarea")) document.querySelector("#panel .close")?.click();
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = menu.contains(event.target);
  });

  // One connection. The browser makes it again after a break, and says how far it had come.

  let source = null;
  let connected = null;
  const state = document.getElementById("live-state");
  function connect() {
    const address = document.body.dataset.live;
    const log = document.getElementById("log");
    const wanted = address ? `${address}&place=${encodeURIComponent(log ? log.dataset.place : "")}` : "";
    if (address === connected && source) return;
    if (source) source.close();
    source = null;
    connected = address;
    state.hidden = !wanted;
    if (!wanted) return;
    source = new EventSource(wanted);
    source.addEventListener("open", () => { state.textContent = state.dataset.on; state.classList.remove("off"); });
    source.addEventListener("error", () => {
      state.textContent = state.dataset.off;
      state.classList.add("off");
      if (source && source.readyState === EventSource.CLOSED) {
        source = null; // refused: the server is starting, or the session has ended
        setTimeout(connect, 3000);
      }
    });
    source.addEventListener("changed", refresh);
    source.addEventListener("log", (event) => lines(JSON.parse(event.data), event.lastEventId));
  }

  function lines(added, place) {
    const log = document.getElementById("log");
    if (!log) return;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    const rows = added.map((line) => {
      const row = document.createElement("div");
      row.textContent = line.m;
      if (/rror|Traceback/.test(line.m)) row.className = "error";
      return row;
    });
    log.append(...rows);
    log.dataset.place = place;
    if (atEnd) toTheEnd(log);
  }

  // A browser allows six connections to a server: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
      connected = null;
    } else {
      connect();
    }
  });

  times(document);
  setInterval(() => tick(document), 1000); // counts, asks nobody
  toTheEnd(document.getElementById("log"));
  for (const each of document.querySelectorAll("[data-tail]")) toTheEnd(each);
  connect();
})();
