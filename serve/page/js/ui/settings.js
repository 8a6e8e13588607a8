// The pickers: model, size, precision; and the size of the pictures that follows from them.

const SHORT_SIDES = [128, 192, 256, 320, 384, 512, 768, 1024]; // short sides that are offered
const SIDE_MULTIPLE = 4; // of which sides are multiples, for networks and codecs
const byId = (id) => document.getElementById(id);

export class Settings {
  /** changed(): a choice was made. */
  constructor(changed) {
    this.models = [];
    for (const id of ["model", "size", "precision"])
      byId(id).addEventListener("change", () => {
        if (id === "model") this.#fill();
        changed();
      });
  }

  /** models: what /v1/models gave. */
  setModels(models) {
    this.models = models;
    options(byId("model"), models.map(({ name }) => [name, name]));
    byId("model-field").hidden = models.length < 2;
    for (const id of ["model", "precision"]) byId(id).disabled = false;
    this.#fill();
  }

  #fill() {
    const { size, any_size: dynamic, precision, precisions } = this.model;
    const own = Math.min(...size);
    const fixed = size[0] === size[1] ? `${own}` : size.join(" × ");
    const free = [...new Set([...SHORT_SIDES, own])].sort((a, b) => a - b);
    options(byId("size"), dynamic ? free.map((side) => [side, `${side}`]) : [["", fixed]], dynamic ? own : "");
    byId("size").disabled = !dynamic;
    const exact = precision.startsWith("int8") ? "int8, rest fp32" : "fp32";
    options(byId("precision"), precisions.map((name) => [name, name === "auto" ? "Fastest" : exact]));
    byId("model-name").textContent = this.model.name;
  }

  get model() {
    return this.models.find(({ name }) => name === byId("model").value) ?? this.models[0];
  }

  /** {model, precision, size}, as the server takes them, for pictures of the size that is wanted. */
  get selection() {
    return {
      model: this.model.name,
      precision: byId("precision").value,
      ...(this.model.any_size && { size: "source" }),
    };
  }

  /** The same for a source of another size: [height, width], or null where it is not known. */
  selectionFor(source) {
    const { size, ...selection } = this.selection;
    return source && size ? { ...selection, size: this.frameSizeFor(source).join("x") } : selection;
  }

  /** [height, width] of what is sent for a source of [height, width]: aspect kept, where the model
   *  takes any size, and sides of which the network and the codec can make something. */
  frameSizeFor([height, width]) {
    const { size, any_size: dynamic } = this.model;
    if (!dynamic) return size;
    const scale = Number(byId("size").value) / Math.min(height, width);
    return [height, width].map((side) => Math.max(SIDE_MULTIPLE, Math.round((side * scale) / SIDE_MULTIPLE) * SIDE_MULTIPLE));
  }
}

function options(select, pairs, chosen) {
  const before = chosen ?? select.value;
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
  if (pairs.some(([value]) => `${value}` === `${before}`)) select.value = before;
}
