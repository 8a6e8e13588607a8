// Keyboard shortcuts, and files dropped anywhere on the page.

/** shortcuts: {key: function}, inactive in form fields and dialogs. onDrop(file). */
export function listenForInput(shortcuts, onDrop) {
  addEventListener("keydown", (event) => {
    const { target, ctrlKey, metaKey, altKey } = event;
    const inField = target.closest("input:not([type=range]), select, dialog");
    const action = shortcuts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || inField || ctrlKey || metaKey || altKey) return;
    event.preventDefault();
    action();
  });
  const highlight = (isOver) => document.body.classList.toggle("dropping", isOver);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    highlight(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? highlight(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    highlight(false);
    const [file] = event.dataTransfer.files;
    if (file) onDrop(file);
  });
}
