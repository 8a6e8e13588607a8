// Model, size and precision selectors, and the sizes that follow from them: the page sends frames in
// the size of their source, and selects the size that the network sees.

const SHORT_SIDES = [128, 192, 256, 320, 384, 512, 768, 1024];
const NETWORK_MULTIPLE = 4; // networks take sides that are multiples of this
const CODEC_MULTIPLE = 2;
const MAX_VIDEO_PIXELS = 1280 * 720; // larger frames cost more to encode than to translate
const MAX_IMAGE_PIXELS = 4_000_000; // as PNG within the limit of the server
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

  /** Returns {model, precision, size} for frames of [width, height]; null if that is unknown. */
  selectionFor(frameSize) {
    const selection = { model: this.model.name, precision: byId("precision").value };
    if (!frameSize || !this.model.any_size) return selection;
    return { ...selection, size: this.#networkSizeFor(frameSize) };
  }

  /** Returns the size that the network sees: the selected short side, but not more than the frame has. */
  #networkSizeFor(frameSize) {
    const scale = Number(byId("size").value) / Math.min(...frameSize);
    return scale < 1 ? scaleTo(frameSize, scale, NETWORK_MULTIPLE).join("x") : "source";
  }

  /** Returns the [width, height] to send for a source of [width, height]. */
  frameSizeFor(sourceSize, isImage = false) {
    const maxPixels = isImage ? MAX_IMAGE_PIXELS : MAX_VIDEO_PIXELS;
    const scale = Math.min(1, Math.sqrt(maxPixels / (sourceSize[0] * sourceSize[1])));
    return isImage && scale === 1 ? sourceSize : scaleTo(sourceSize, scale, CODEC_MULTIPLE);
  }
}

function scaleTo(size, scale, multiple) {
  return size.map((side) => Math.max(multiple, Math.round((side * scale) / multiple) * multiple));
}

/** Parses "WIDTHxHEIGHT" to [width, height]. */
function parseSize(text) {
  return text.split("x").map(Number);
}

function setOptions(select, options, selected = select.value) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => `${value}` === `${selected}`)) select.value = selected;
}
