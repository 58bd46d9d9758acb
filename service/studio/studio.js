// The studio: orders videos, follows them by polling, plays them. It uses the public API and nothing else.
// The key lives in this tab's sessionStorage; it is sent as a header and never stands in a URL.

const TERMINAL = new Set(["completed", "failed", "cancelled"]);
const element = (id) => document.getElementById(id);
const takes = new Map(); // video id -> its article

async function call(path, options = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem("key")}`, ...options.headers };
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail ?? `The service answered ${answer.status}.`), { status: answer.status });
}

const json = async (path, options) => (await call(path, options)).json();

// The door

async function enter() {
  const { data: models } = await json("/v1/models");
  element("model").replaceChildren(...models.map((model) => new Option(model.id)));
  const showSizes = () => {
    const { limits } = models.find((model) => model.id === element("model").value);
    const sizes = limits.sizes.map((size) => new Option(size, size, false, size === limits.refined_size));
    element("size").replaceChildren(...sizes);
    element("seconds").max = limits.max_seconds;
  };
  element("model").onchange = showSizes;
  showSizes();
  const { data: videos } = await json("/v1/videos?limit=30");
  element("takes").replaceChildren();
  videos.reverse().forEach(follow);
  open(true);
}

function open(isOpen) {
  element("studio").hidden = element("leave").hidden = !isOpen;
  element("door").hidden = isOpen;
}

element("door").onsubmit = async (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", element("key").value.trim());
  try {
    await enter();
    element("key").value = "";
  } catch (error) {
    leave();
    element("key").setCustomValidity(error.message);
    element("key").reportValidity();
  }
};
element("key").oninput = () => element("key").setCustomValidity("");

function leave() {
  sessionStorage.removeItem("key");
  takes.clear();
  element("takes").replaceChildren();
  open(false);
}
element("leave").onclick = leave;

// Ordering

element("order").onsubmit = async (event) => {
  event.preventDefault();
  const value = (id) => element(id).value;
  const order = { prompt: value("prompt"), model: value("model"), size: value("size"), seconds: value("seconds") };
  if (value("seed")) order.seed = Number(value("seed"));
  element("problem").textContent = "";
  try {
    const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") };
    follow(await json("/v1/videos", { method: "POST", headers, body: JSON.stringify(order) }));
  } catch (error) {
    element("problem").textContent = error.message;
  }
};

// One take

function follow(video) {
  const article = element("take").content.cloneNode(true).querySelector("article");
  const on = (name) => article.querySelector(name);
  on(".prompt").textContent = video.prompt;
  on(".cancel").onclick = async () => show(await json(`/v1/videos/${video.id}/cancel`, { method: "POST" }));
  on(".delete").onclick = async () => {
    await call(`/v1/videos/${video.id}`, { method: "DELETE" });
    takes.delete(video.id);
    article.remove();
  };
  takes.set(video.id, article);
  element("takes").prepend(article);
  show(video);
  if (!TERMINAL.has(video.status)) poll(video.id);
}

async function poll(id) {
  while (takes.has(id)) {
    await new Promise((resume) => setTimeout(resume, 1000));
    try {
      const video = await json(`/v1/videos/${id}`);
      show(video);
      if (TERMINAL.has(video.status)) return;
    } catch (error) {
      if (error.status === 404 || error.status === 401) return; // deleted, or the key is gone
    }
  }
}

function show(video) {
  const article = takes.get(video.id);
  if (!article) return;
  const ended = TERMINAL.has(video.status);
  article.querySelector(".state").textContent = describe(video);
  article.querySelector(".cancel").hidden = ended;
  const progress = article.querySelector("progress");
  if (!ended && progress) progress.value = video.progress;
  if (ended) progress?.remove();
  if (ended && video.frames && !article.querySelector("video")) play(video, article);
}

function describe(video) {
  const total = Math.round(video.seconds * video.fps);
  if (video.status === "queued") return video.queue_position ? `queued, ${video.queue_position} before it` : "queued";
  if (video.status === "failed") return `failed: ${video.error.message}`;
  if (video.status !== "in_progress") return `${video.status}, ${video.frames} frames, seed ${video.seed}`;
  const left = video.eta_s === null ? "" : `, about ${Math.ceil(video.eta_s)} s left`;
  return `${video.stage ?? "working"}, ${video.frames} of ${total} frames${left}`;
}

async function play(video, article) {
  try {
    const file = await (await call(`/v1/videos/${video.id}/content`)).blob();
    const url = URL.createObjectURL(file);
    const player = Object.assign(document.createElement("video"), { src: url, controls: true, loop: true, muted: true });
    article.querySelector(".screen").replaceChildren(player);
    player.play().catch(() => {}); // the browser may want a click first
    Object.assign(article.querySelector(".save"), { href: url, download: `${video.id}.mp4`, hidden: false });
  } catch (error) {
    article.querySelector(".state").textContent += ` (${error.message})`;
  }
}

if (sessionStorage.getItem("key")) enter().catch(leave);
