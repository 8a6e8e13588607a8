// Model, size and precision selectors, and the frame size that follows from them.

const SHORT_SIDES = [128, 192, 256, 320, 384, 512, 768, 1024];
const SIDE_MULTIPLE = 4; // networks and codecs take sides that are multiples of this
const byId = (id) => document.getElementById(id);

export class Settings {
  /** onChange() is called when the user changes a selector. */
  constructor(onChange) {
    this.models = [];
    for (const id of ["model", "size", "precision"])
      byId(id).addEventListener("change", () => {
        if (id === "model") this.#fillSelectors();
        onChange();
      });
  }

  /** models: the list of GET /v1/models. */
  setModels(models) {
    this.models = models;
    setOptions(byId("model"), models.map(({ name }) => [name, name]));
    byId("model-field").hidden = models.length < 2;
    for (const id of ["model", "precision"]) byId(id).disabled = false;
    this.#fillSelectors();
  }

  #fillSelectors() {
    const { size, any_size: dynamic, precision, precisions } = this.model;
    const modelSide = Math.min(...parseSize(size));
    const sides = [...new Set([...SHORT_SIDES, modelSide])].sort((a, b) => a - b);
    const sizes = dynamic ? sides.map((side) => [side, `${side}`]) : [["", size]];
    setOptions(byId("size"), sizes, dynamic ? modelSide : "");
    byId("size").disabled = !dynamic;
    const exact = precision.startsWith("int8") ? "int8, rest fp32" : "fp32";
    setOptions(byId("precision"), precisions.map((name) => [name, name === "auto" ? "Fastest" : exact]));
    byId("model-name").textContent = this.model.name;
  }

  get model() {
    return this.models.find(({ name }) => name === byId("model").value) ?? this.models[0];
  }

  /** {model, precision, size} for frames that already have the selected size. */
  get selection() {
    return {
      model: this.model.name,
      precision: byId("precision").value,
      ...(this.model.any_size && { size: "source" }),
    };
  }

  /** The same for a source of another size: [width, height], or null if it is unknown. */
  selectionFor(sourceSize) {
    const { size, ...selection } = this.selection;
    return sourceSize && size ? { ...selection, size: this.frameSizeFor(sourceSize).join("x") } : selection;
  }

  /** Returns the [width, height] to send for a source of [width, height]. The aspect ratio is kept if the
   *  model takes any size. */
  frameSizeFor(sourceSize) {
    const { size, any_size: dynamic } = this.model;
    if (!dynamic) return parseSize(size);
    const scale = Number(byId("size").value) / Math.min(...sourceSize);
    return sourceSize.map((side) => Math.max(SIDE_MULTIPLE, Math.round((side * scale) / SIDE_MULTIPLE) * SIDE_MULTIPLE));
  }
}

/** Parses "WIDTHxHEIGHT" to [width, height]. */
function parseSize(text) {
  return text.split("x").map(Number);
}

function setOptions(select, options, selected = select.value) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => `${value}` === `${selected}`)) select.value = selected;
}
