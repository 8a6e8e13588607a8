// Keys, and files that are dropped anywhere.

/** keys: {key: function}; they rest while something is typed or chosen. dropped(file). */
export function listen(keys, dropped) {
  addEventListener("keydown", (event) => {
    const { target, ctrlKey, metaKey, altKey } = event;
    const typing = target.closest("input:not([type=range]), select, dialog");
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || typing || ctrlKey || metaKey || altKey) return;
    event.preventDefault();
    act();
  });
  const over = (is) => document.body.classList.toggle("dropping", is);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? over(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const [file] = event.dataTransfer.files;
    if (file) dropped(file);
  });
}
