// Sends the form without leaving the page, and puts the photo that was sent under what was found in it.
"use strict";

(() => {
  const form = document.getElementById("invoke");

  async function paint(canvas, blob) {
    const image = await createImageBitmap(blob);
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext("2d").drawImage(image, 0, 0);
    canvas.hidden = false;
    return image;
  }

  async function pictures(file) {
    const photo = document.getElementById("photo");
    if (photo && file && file.size) {
      try {
        const image = await paint(photo, file);
        document.getElementById("found").setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
      } catch { /* no image that the browser knows: the drawing stands alone */ }
    }
    for (const canvas of document.querySelectorAll("canvas[data-image]")) {
      const bytes = Uint8Array.from(atob(canvas.dataset.image), (each) => each.charCodeAt(0));
      try { await paint(canvas, new Blob([bytes])); } catch { canvas.hidden = true; }
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    const file = form.elements.file.files[0];
    button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("answer");
      if (!fresh) { location.reload(); return; }
      document.getElementById("answer").replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
      await pictures(file);
    } finally {
      button.disabled = false;
    }
  });
  pictures(null);
})();
