// Files and whole folders, one after the other, with progress. Without this file the form uploads files.
"use strict";

(() => {
  const form = document.getElementById("upload");
  const bar = form.querySelector("progress");
  const state = document.getElementById("upload-state");
  const put = (file, name, progress) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `${form.dataset.target}?key=${encodeURIComponent(form.dataset.prefix + name)}`);
    request.setRequestHeader("x-form-token", form.dataset.token);
    if (file.type) request.setRequestHeader("content-type", file.type);
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("load", () => {
      if (request.status === 200) { resolve(); return; }
      let message = `HTTP ${request.status}`;
      try { message = JSON.parse(request.responseText).message || message; } catch { /* not ours */ }
      reject(new Error(message));
    });
    request.addEventListener("error", () => reject(new Error("")));
    request.send(file);
  });

  const say = (done, all) => {
    state.textContent = form.dataset.progress.replace("{done}", done).replace("{all}", all);
  };

  // Whoever leaves while files are on their way is asked.
  let busy = false;
  addEventListener("beforeunload", (event) => { if (busy) event.preventDefault(); });

  async function upload(files) {
    if (!files.length) return;
    busy = true;
    bar.hidden = false;
    bar.max = files.reduce((sum, [file]) => sum + file.size, 0) || 1;
    let before = 0;
    let done = 0;
    say(done, files.length);
    for (const [file, name] of files) {
      try {
        await put(file, name, (sent) => { bar.value = before + Math.min(sent, file.size); });
      } catch (error) {
        state.textContent = `${form.dataset.failed.replace("{name}", name)} ${error.message}`;
        busy = false;
        return;
      }
      before += file.size;
      bar.value = before;
      say(++done, files.length);
    }
    busy = false;
    location.reload();
  }

  async function inEntry(entry, path, found) {
    if (entry.isFile) {
      found.push([await new Promise((resolve, reject) => entry.file(resolve, reject)), path + entry.name]);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!entries.length) return;
      for (const each of entries) await inEntry(each, `${path}${entry.name}/`, found);
    }
  }

  form.addEventListener("change", (event) => {
    const files = [...event.target.files].map((file) => [file, file.webkitRelativePath || file.name]);
    upload(files);
  });
  form.addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", async (event) => {
    event.preventDefault();
    form.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    const found = [];
    for (const entry of entries) await inEntry(entry, "", found);
    upload(found);
  });
})();
