// The composer: a prompt, what it is made with, and prompts for later; orders a video.

import * as api from "./api.js";
import { attempt, number, text } from "./forms.js";
import { labels, round } from "./words.js";

export function openComposer({ onOrdered }) {
  const form = document.getElementById("composer");
  const { model: modelField, size: sizeField, turbo: turboField } = form.elements;
  const rows = form.querySelector("#schedule ol");
  let models = [];

  const model = () => models.find(({ id }) => id === modelField.value);

  function showModel() {
    const { description, licence, limits, turbo } = model();
    turboField.disabled = !turbo;
    const options = limits.sizes.map((size) => {
      const name = limits.refined_sizes.includes(size) ? `${size}, refined` : size;
      return new Option(name, size, size === limits.refined_size, size === limits.refined_size);
    });
    sizeField.replaceChildren(...options);
    document.getElementById("model-note").textContent =
      `${description} Up to ${round(limits.max_seconds / 60)} minutes, ${limits.fps} frames a second. Licence: ${licence}.`;
  }

  function addRow(at = "", prompt = "") {
    const row = document.createElement("li");
    const field = (name, label, value) => {
      const input = Object.assign(document.createElement("input"), { value, ariaLabel: label, autocomplete: "off" });
      input.dataset.part = name;
      return input;
    };
    const time = Object.assign(field("at_seconds", "From second", at), { inputMode: "decimal", placeholder: "s" });
    const words = Object.assign(field("prompt", "Then the prompt", prompt), { placeholder: "then …" });
    const away = Object.assign(document.createElement("button"), { type: "button", className: "plain", textContent: "Remove" });
    away.addEventListener("click", () => {
      row.remove();
      name();
      form.querySelector(".add").focus();
    });
    row.append(time, words, away);
    rows.append(row);
    name();
    return time;
  }

  /** Fields are named as problems name them: prompts[0].at_seconds. */
  function name() {
    [...rows.children].forEach((row, i) => {
      for (const input of row.querySelectorAll("input")) input.name = `prompts[${i}].${input.dataset.part}`;
    });
  }

  function schedule() {
    return [...rows.children].map((_, i) => ({
      at_seconds: number(form, `prompts[${i}].at_seconds`),
      prompt: form.elements[`prompts[${i}].prompt`].value,
    }));
  }

  async function order() {
    const metadata = labels(form.elements.metadata.value);
    if (!metadata) throw new api.Problem("Labels are written name=value, with commas between them.", { field: "metadata" });
    const [picture] = form.elements.input_reference.files;
    return {
      prompt: form.elements.prompt.value,
      model: modelField.value,
      size: sizeField.value,
      seconds: text(form, "seconds")?.replace(",", "."),
      seed: number(form, "seed"),
      steps: number(form, "steps"),
      guidance_scale: number(form, "guidance_scale"),
      turbo: turboField.checked && !turboField.disabled,
      negative_prompt: text(form, "negative_prompt"),
      prompts: schedule(),
      metadata,
      input_reference: picture && { image_url: await dataUrl(picture) },
    };
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(form, async () => onOrdered(await api.order(await order())));
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.querySelector(".add").addEventListener("click", () => addRow().focus());
  modelField.addEventListener("change", showModel);

  return {
    offer(offered) {
      models = offered.filter(({ recipe }) => !recipe.inputs.includes("clip")); // those begin with a finished video
      modelField.replaceChildren(...models.map(({ id }) => new Option(id)));
      showModel();
    },
    /** The settings of a video, to change and make again. */
    fill(video) {
      form.elements.prompt.value = video.prompt;
      if (models.some(({ id }) => id === video.model)) modelField.value = video.model;
      showModel();
      sizeField.value = video.size;
      form.elements.seconds.value = video.seconds;
      form.elements.seed.value = video.seed;
      turboField.checked = video.turbo !== null;
      rows.replaceChildren();
      for (const entry of video.prompts) addRow(round(entry.at_seconds), entry.prompt);
      form.elements.prompt.focus();
    },
  };
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new api.Problem("This picture cannot be read.", { field: "input_reference" }));
    reader.readAsDataURL(file);
  });
}
