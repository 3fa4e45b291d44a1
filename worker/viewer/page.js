"use strict";
(() => {
  const Viewer = self.ModelViewerElement.ModelViewerElement;
  const dialog = document.querySelector("dialog");
  const stages = [...document.querySelectorAll(".stage[data-model]")];
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const view = { "camera-orbit": "24deg 76deg 112%", "camera-controls": "", "interaction-prompt": "none", "shadow-intensity": "0.7", exposure: "0.8" };
  Viewer.modelCacheSize = 0; // What is out of sight gives its memory back.

  const say = (stage, sentence) => { stage.querySelector("p").textContent = sentence; };
  const isDrawable = () => { try { return Boolean(document.createElement("canvas").getContext("webgl2")); } catch { return false; } };
  const contentOf = (stage) => document.getElementById(stage.dataset.model);
  const bytesOf = (stage) => Uint8Array.from(atob(contentOf(stage).textContent.trim()), (each) => each.charCodeAt(0));
  const urlOf = (stage) => URL.createObjectURL(new Blob([bytesOf(stage)], { type: "model/gltf-binary" }));

  const viewerOf = (stage, more) => {
    const viewer = document.createElement("model-viewer");
    const attributes = { ...view, alt: stage.dataset.name, ...more, src: urlOf(stage) };
    for (const [name, value] of Object.entries(attributes)) viewer.setAttribute(name, value);
    return viewer;
  };
  const drop = (viewer) => {
    URL.revokeObjectURL(viewer.src);
    viewer.remove();
  };

  const show = (stage) => {
    if (stage.viewer) return;
    const turns = stages.length === 1 && !isCalm ? { "auto-rotate": "", "rotation-per-second": "14deg" } : {};
    const seen = stage.orbit ? { "camera-orbit": stage.orbit } : {};
    stage.viewer = viewerOf(stage, { ...turns, ...seen, "disable-zoom": "", "touch-action": "pan-y" });
    stage.viewer.addEventListener("load", () => stage.classList.add("is-shown"));
    stage.viewer.addEventListener("error", () => say(stage, "This model can't be shown here; save it, or sam3d output writes it."));
    stage.append(stage.viewer);
  };
  const hide = (stage) => {
    if (!stage.viewer) return;
    stage.orbit = stage.viewer.loaded ? stage.viewer.getCameraOrbit().toString() : stage.orbit;
    stage.classList.remove("is-shown");
    drop(stage.viewer);
    stage.viewer = null;
  };
  // A model is there while its card is in sight and a little around it: twenty would be too many for a phone.
  const watch = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      clearTimeout(target.waits);
      target.waits = setTimeout(isIntersecting ? show : hide, isIntersecting ? 80 : 1000, target);
    }
  }, { rootMargin: "160px" });

  dialog.addEventListener("close", () => dialog.querySelectorAll("model-viewer").forEach(drop));
  for (const stage of stages) {
    if (!contentOf(stage)) say(stage, "The file of this model could not be read.");
    else if (!isDrawable()) say(stage, "This browser draws nothing in 3D: it has no WebGL 2.");
    else watch.observe(stage);
    stage.querySelector("button").addEventListener("click", () => {
      dialog.append(viewerOf(stage, { "camera-orbit": stage.viewer.getCameraOrbit().toString() }));
      dialog.showModal();
    });
  }
  for (const link of document.querySelectorAll("a[data-saves]")) {
    const stage = document.querySelector(`.stage[data-model="${link.dataset.saves}"]`);
    if (!contentOf(stage)) { link.remove(); continue; }
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const url = urlOf(stage);
      Object.assign(document.createElement("a"), { href: url, download: link.download }).click();
      setTimeout(URL.revokeObjectURL, 10000, url);
    });
  }
})();
