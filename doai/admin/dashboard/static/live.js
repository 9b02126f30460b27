// Keeps a page true: draws it anew when the event log has grown, and every while for what has no event; hears the
// server's beat each second, and says so when what is shown may be old. Ages ("3 s ago") are counted here.
"use strict";
(() => {
  const STALE_MS = 2000;      // nothing on a page is older without saying so
  const NEWS_MS = 700;        // between two drawings when something happened
  const QUIET_MS = 1000;      // and when nothing did: proofs and loads change without an event
  const AGAIN_MS = 1000;      // until a stream that was refused is asked for again
  const korean = document.documentElement.lang === "ko";
  const state = { beatMs: performance.now(), position: -1, busy: false, drawnMs: performance.now(), costMs: 0 };
  state.freshMs = state.drawnMs;
  let source = null;

  // On a phone the menu is wider than the screen: where one is, is in sight.
  document.querySelector("nav.main [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  const page = () => document.getElementById("page");

  // A browser has six connections to a site: tabs that nobody sees give theirs back.
  function listen() {
    if (document.hidden) {
      if (source) source.close();
      source = null;
      return;
    }
    if (source) return;
    const stream = source = new EventSource("/api/stream?events=false");
    // A browser connects again by itself, but not where it was answered with a refusal: somebody is signed out, or
    // the server is not able to just now.
    stream.addEventListener("error", () => {
      if (stream.readyState !== EventSource.CLOSED || stream !== source) return;
      source = null;
      setTimeout(listen, AGAIN_MS);
      draw();
    });
    stream.addEventListener("beat", (message) => {
      const beat = JSON.parse(message.data);
      state.beatMs = performance.now();
      state.skewMs = beat.atMs - Date.now();
      state.position = beat.position;
      state.broker = beat.broker;
      tick();
    });
  }

  // `moved`: the page has another address now, which somebody wants to see at once.
  async function draw(moved = false) {
    if (moved && state.busy) { state.moved = true; return; }
    const now = performance.now();
    const news = state.position !== Number(page().dataset.position);
    const waitMs = Math.max(news ? NEWS_MS : QUIET_MS, 4 * state.costMs);
    if (state.busy || document.hidden || (!moved && (now - state.drawnMs < waitMs || editing())) || isKept()) return;
    state.busy = true;
    const address = shownAt();
    try {
      const headers = { "X-Doai-Live": "1" };
      if (state.etag) headers["If-None-Match"] = state.etag;
      const answer = await fetch(location.href, { headers, redirect: "manual", cache: "no-store" });
      if (address !== shownAt()) return;   // what came is of the address before
      if (answer.status === 304) {
        page().dataset.position = answer.headers.get("X-Doai-Position");
        state.freshMs = now;
        return;
      }
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("page");
      if (address !== shownAt()) return;
      if (!fresh || isKept() || (!moved && editing())) { state.etag = ""; return; }
      await htmx.swap({ text: fresh.outerHTML, sourceElement: page(), target: page(), swap: "outerMorph" });
      state.etag = answer.headers.get("ETag") || "";
      state.freshMs = now;
      document.dispatchEvent(new Event("doai:drawn"));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;   // the server can not be reached: the chip says so
    } finally {
      state.busy = false;
      state.drawnMs = performance.now();
      state.costMs = state.drawnMs - now;
      const again = state.moved;
      state.moved = false;
      if (again) draw(true);
      tick();
    }
  }
  document.addEventListener("doai:moved", () => draw(true));

  const shownAt = () => location.pathname + location.search;

  // What answers a form can not be asked for again: it tells of one moment.
  const isAnswer = () => "answer" in page().dataset;

  // What somebody types or has opened is not taken away under the hand.
  function editing() {
    const active = document.activeElement;
    return Boolean(active && active.closest("#page") && active.matches("input, textarea, select"));
  }

  // What was sent is on its way: its button stays pressed, and the next page comes.
  const isSent = () => document.querySelector("form[data-sent]") !== null;

  const isKept = () => isAnswer() || isSent();

  function ago(ms) {
    const s = Math.max(0, Math.round((Date.now() + (state.skewMs || 0) - ms) / 1000));
    if (s < 60) return korean ? `${s}초 전` : `${s} s ago`;
    if (s < 3600) return korean ? `${Math.floor(s / 60)}분 전` : `${Math.floor(s / 60)} min ago`;
    if (s < 86400) return korean ? `${Math.floor(s / 3600)}시간 전` : `${Math.floor(s / 3600)} h ago`;
    return korean ? `${Math.floor(s / 86400)}일 전` : `${Math.floor(s / 86400)} d ago`;
  }

  function tick() {
    const now = performance.now();
    for (const time of document.querySelectorAll("time.ago")) {
      const text = ago(Number(time.dataset.ms));
      if (time.textContent !== text) time.textContent = text;
    }
    const silent = now - state.beatMs > STALE_MS;
    const old = !isAnswer() && now - state.freshMs > STALE_MS;
    document.body.classList.toggle("stale", silent || Boolean(state.broker));
    const stale = silent || old || Boolean(state.broker);
    const chip = document.getElementById("live");
    if (chip) {
      chip.classList.toggle("stale", stale);
      const since = new Date(Date.now() - (now - state.freshMs)).toTimeString().slice(0, 8);
      const text = stale ? chip.dataset.since.replace("{0}", since) : chip.dataset.live;
      const label = chip.querySelector("b");
      if (label.textContent !== text) label.textContent = text;
    }
    const away = document.getElementById("away");
    if (away && !silent) {
      away.hidden = !state.broker;
      document.getElementById("away-why").textContent = state.broker || "";
    }
    if (!silent) draw();
  }

  // Times are written by the server, in the zone of this browser unless another was chosen.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes(`doai_browser_zone=${encodeURIComponent(zone)}`)) {
    document.cookie = `doai_browser_zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`;
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("select[data-submit]")) event.target.form.submit();
  });
  // What was chosen before this script was there is heard, too; what a browser puts back of an earlier visit is not.
  if (performance.getEntriesByType("navigation")[0]?.type === "navigate") {
    for (const select of document.querySelectorAll("select[data-submit]")) {
      const before = Math.max(0, [...select.options].findIndex((option) => option.defaultSelected));
      if (select.selectedIndex > -1 && select.selectedIndex !== before) { select.form.submit(); break; }
    }
  }
  document.addEventListener("change", (event) => {
    const all = event.target.dataset.all;
    if (!all) return;
    for (const each of event.target.form.elements[all].length === undefined
      ? [event.target.form.elements[all]] : event.target.form.elements[all]) each.checked = event.target.checked;
  });
  document.addEventListener("click", async (event) => {
    if (event.target.closest("[data-print]")) window.print();
    const button = event.target.closest("[data-copy]");
    if (!button || !navigator.clipboard) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = button.dataset.copied;
  });
  document.addEventListener("visibilitychange", () => { listen(); tick(); });
  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    else if (event.target.method === "post") event.target.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });
  listen();
  tick();
  setInterval(tick, 250);
})();
