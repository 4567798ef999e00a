// Small conveniences of the console. Every page works without them.
"use strict";
(() => {
  const WAIT_MS = 150;

  // Copy buttons: only where the browser lets a page write to the clipboard.
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy).textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select and copy it by hand";
      }
    });
  }

  // Suggestions from the server while somebody types: the page holds the first few only.
  for (const input of document.querySelectorAll("input[data-names]")) {
    const list = document.getElementById(input.getAttribute("list"));
    let timer = 0;
    let asked = "";
    const ask = async () => {
      const text = input.value.trim();
      if (text === asked) {
        return;
      }
      asked = text;
      const address = `${input.dataset.names}?q=${encodeURIComponent(text)}`;
      const answer = await fetch(address, { headers: { Accept: "application/json" } });
      if (!answer.ok || text !== asked) {
        return;
      }
      const { names } = await answer.json();
      list.replaceChildren(...[...names, "everyone"].map((name) => {
        const option = document.createElement("option");
        option.value = name;
        return option;
      }));
    };
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => ask().catch(() => {}), WAIT_MS);
    });
  }
})();
