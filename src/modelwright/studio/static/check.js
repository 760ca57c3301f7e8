// What is wrong with a form's fields, told while one types: the server is asked, which judges the same when it is sent.
"use strict";

(() => {
  const form = document.querySelector("form[data-check]");
  const touched = new Set();
  let waiting = null;
  let asked = 0;

  async function check() {
    const mine = ++asked;
    const fields = new URLSearchParams(new FormData(form));
    fields.set("check", "1");
    let answer = null;
    try {
      answer = await fetch(location.href, { method: "POST", body: fields, headers: { accept: "text/html" } });
    } catch { return; /* the server is gone: sending the form will tell */ }
    if (!answer.ok || mine !== asked) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const field of form.querySelectorAll("[data-field]")) {
      const name = field.dataset.field;
      const other = fresh.querySelector(`[data-field="${CSS.escape(name)}"]`);
      if (!other || !touched.has(name)) continue;
      field.className = other.className;
      const input = field.querySelector("input, select");
      if (other.querySelector("[aria-invalid]")) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
      const [said, says] = [field.querySelector("[aria-live]"), other.querySelector("[aria-live]")];
      said.className = says.className;
      if (said.textContent !== says.textContent) said.textContent = says.textContent;
    }
  }

  form.addEventListener("input", (event) => {
    touched.add(event.target.name);
    clearTimeout(waiting);
    waiting = setTimeout(check, 250);
  });
  form.addEventListener("focusout", (event) => {
    if (!event.target.name) return;
    touched.add(event.target.name);
    clearTimeout(waiting);
    waiting = setTimeout(check, 50);
  });

  // What was typed before this file had come, or what the browser has put back.
  for (const input of form.querySelectorAll("input")) {
    if (input.value !== input.defaultValue) touched.add(input.name);
  }
  if (touched.size) check();
})();
