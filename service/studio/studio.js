// The page put together: the door, and behind it the composer, the stage and the gallery.
// Which video is on the screen stands in the address, after the #, so that going back works.

import * as api from "./api.js";
import { openComposer } from "./composer.js";
import { attempt, clear, say } from "./forms.js";
import { openGallery } from "./gallery.js";
import { openStage } from "./stage.js";

const element = (id) => document.getElementById(id);
const shown = () => (/^#video_\w+$/.test(location.hash) ? location.hash.slice(1) : null);
let rooms = null;

/** `first`: what has the focus behind the door. At once: whoever types while the gallery loads is not interrupted. */
async function enter(first = null) {
  const models = await api.models();
  const gallery = rooms?.gallery ?? openGallery();
  const stage = rooms?.stage ?? openStage({ go, onVideo: gallery.update, onGone: gallery.forget, again: (video) => composer.fill(video) });
  const composer = rooms?.composer ?? openComposer({ onOrdered: go });
  rooms = { gallery, stage, composer };
  composer.offer(models);
  stage.know(models);
  open(true);
  first?.focus({ preventScroll: true });
  stage.show(shown());
  await gallery.open(shown());
}

/** Put a video on the screen; a new one is also in the gallery at once. */
function go(video) {
  if (video) rooms.gallery.add(video);
  location.hash = video ? video.id : "";
}

function open(isOpen) {
  element("studio").hidden = element("leave").hidden = !isOpen;
  element("door").hidden = isOpen;
}

function leave(message) {
  api.key.forget();
  rooms?.stage.show(null);
  rooms?.gallery.close();
  open(false);
  clear(element("door-form"));
  if (message) say(element("door-form"), new api.Problem(message, { field: "key" }));
  element("key").focus();
}

element("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(event.target, async () => {
    const typed = element("key").value.trim();
    if (!typed) throw new api.Problem("Type your key first.", { field: "key" });
    api.key.set(typed, element("remember").checked);
    await enter(element("prompt"));
    element("key").value = "";
  });
});
element("leave").addEventListener("click", () => leave());
addEventListener("longtake:locked", (event) => leave(event.detail));
addEventListener("hashchange", () => {
  if (!rooms || !api.key.get()) return;
  if (location.hash && !shown()) return; // a link to a part of the page
  rooms.stage.show(shown());
  rooms.gallery.mark(shown());
});

if (api.key.get()) enter().catch((error) => error.status === 401 || leave(error.message));
else open(false);
