// The gateway's menu on MLflow's page: who I am, sharing for the page I am on, tokens, sign out.
// It lives in a shadow tree, so that neither page can disturb the other, and asks nothing of
// MLflow: what the page is about is read from its address.
"use strict";
(() => {
  const WATCH_SECONDS = 60;
  const AGAIN_SECONDS = 2;
  const here = new URL(document.currentScript.src);
  const style = new URL("menu.css" + here.search, here).href;

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  // The experiment or model that an address of MLflow's page is about, or null.
  function subject(hash) {
    const path = hash.replace(/^#/, "").split("?")[0];
    const found = /^\/(experiments|models|prompts)\/([^/]+)/.exec(path);
    if (!found) {
      return null;
    }
    const id = decodeURIComponent(found[2]);
    if (found[1] === "experiments") {
      return /^[0-9]+$/.test(id) ? { kind: "experiment", id } : null;
    }
    return { kind: "model", id };
  }

  async function session() {
    const answer = await fetch("/access/api/v1/session", { cache: "no-store" });
    if (!answer.ok) {
      throw new Error(String(answer.status));
    }
    return answer.json();
  }

  const host = element("mlgate-menu");
  const root = host.attachShadow({ mode: "open" });
  const button = element("button", {
    type: "button", class: "open", "aria-haspopup": "true", "aria-expanded": "false",
    "aria-controls": "menu",
  });
  const panel = element("div", { id: "menu", class: "panel", hidden: "" });
  const ended = element("div", { class: "ended", role: "alert", hidden: "" });
  root.append(element("link", { rel: "stylesheet", href: style }), button, panel, ended);

  let who = null;
  let again = 0;

  function show(open) {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) {
      fill();
      panel.querySelector("a, button").focus();
    }
  }

  function fill() {
    const about = subject(location.hash);
    const name = who.principal.replace(/^user:/, "");
    const items = [
      element("p", { class: "who" }, element("strong", {}, name)),
      element("p", { class: "groups" },
        (who.groups.length ? who.groups.join(", ") : "in no group") +
        (who.admin ? " · admin" : "")),
    ];
    if (about) {
      const path = `/access/share/${about.kind}/${encodeURIComponent(about.id)}`;
      items.push(element("a", { href: path }, `Share this ${about.kind}`));
    }
    items.push(
      element("a", { href: "/access/" }, "What I can see"),
      element("a", { href: "/access/tokens" }, "My tokens"),
    );
    const out = element("button", { type: "button" }, "Sign out");
    out.addEventListener("click", signOut);
    items.push(out);
    panel.replaceChildren(...items);
  }

  async function signOut() {
    const answer = await fetch("/access/logout", {
      method: "POST", headers: { Accept: "application/json" },
    });
    location.assign(answer.ok ? (await answer.json()).next : "/access/logout");
  }

  // The address is kept by the sign-in page, what stands behind '#' too.
  function signIn() {
    const next = location.pathname + location.search + location.hash;
    return "/access/login?next=" + encodeURIComponent(next);
  }

  async function watch() {
    let now;
    try {
      now = await session();
    } catch {
      return; // the gateway cannot be reached; the page will notice by itself
    }
    if (now.signed_in && now.principal !== (who || now).principal) {
      location.reload(); // somebody else signed in in another tab
      return;
    }
    if (now.signed_in) {
      who = now;
      button.textContent = now.principal.replace(/^user:/, "").slice(0, 2);
      button.title = `Signed in as ${now.principal.replace(/^user:/, "")}`;
      button.setAttribute("aria-label", `Menu of ${now.principal.replace(/^user:/, "")}`);
      button.hidden = false;
      ended.hidden = true;
      return;
    }
    if (who && ended.hidden) {
      show(false);
      button.hidden = true;
      ended.replaceChildren(
        element("span", {}, "Your session has ended. What you see may be old, and changes are not kept."),
        element("a", { href: signIn(), class: "button" }, "Sign in again"),
      );
      ended.hidden = false;
    }
  }

  function refreshLink() {
    const link = ended.querySelector("a");
    if (link) {
      link.href = signIn();
    }
  }

  // A call of the page that was refused is the quickest sign that the session is over. The
  // browser's own record of calls tells of it; nothing of MLflow's is wrapped or replaced.
  function listen() {
    if (!window.PerformanceObserver) {
      return;
    }
    const observer = new PerformanceObserver((list) => {
      if (list.getEntries().some((one) => one.responseStatus === 401)) {
        watch();
        // Another gateway may hear of it a second later, and answer the question meanwhile.
        clearTimeout(again);
        again = setTimeout(watch, AGAIN_SECONDS * 1000);
      }
    });
    observer.observe({ type: "resource", buffered: false });
  }

  button.hidden = true;
  button.addEventListener("click", () => show(panel.hidden));
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) {
      show(false);
      button.focus();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target !== host) {
      show(false);
    }
  });
  window.addEventListener("hashchange", () => { show(false); refreshLink(); });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") {
      watch();
    }
  });
  document.addEventListener("DOMContentLoaded", () => {
    document.body.append(host);
    watch();
    listen();
    setInterval(() => {
      if (document.visibilityState === "visible") {
        watch();
      }
    }, WATCH_SECONDS * 1000);
  });
})();
