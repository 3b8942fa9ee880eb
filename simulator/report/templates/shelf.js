const MOST = 8;
const bar = document.getElementById("compare");
const table = document.querySelector("table.sortable");
if (table) {
  const chosen = new Map();
  const command = bar.querySelector("code");
  const copy = bar.querySelector(".copy");
  const link = bar.querySelector(".page");
  const pages = new Map([...document.querySelectorAll("a[data-runs]")].map((a) => [a.dataset.runs, a.getAttribute("href")]));

  function show() {
    const names = [...chosen.keys()];
    const enough = names.length > 1 && names.length <= MOST;
    bar.hidden = !names.length;
    bar.querySelector(".chosen-runs").textContent = names.length < 2 ? "One run is ticked: tick another to compare them."
      : enough ? `${names.length} runs are ticked.` : `${names.length} runs are ticked: at most ${MOST} are compared at once.`;
    command.textContent = `sim compare ${names.join(" ")}`;
    command.parentElement.hidden = copy.hidden = !enough;
    copy.textContent = "Copy the command";
    const page = enough && pages.get([...names].sort().join(" "));
    link.hidden = !page;
    if (page) link.href = page;
  }
  table.addEventListener("change", (event) => {
    const box = event.target;
    if (box.type !== "checkbox") return;
    if (box.checked) chosen.set(box.value, box);
    else chosen.delete(box.value);
    show();
  });
  bar.querySelector(".clear").addEventListener("click", () => {
    chosen.forEach((box) => { box.checked = false; });
    chosen.clear();
    show();
    table.focus();
  });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      getSelection().selectAllChildren(command);
      if (!document.execCommand("copy")) return;
    }
    copy.textContent = "Copied";
  });
  // A page that was left and come back to keeps its ticks.
  table.querySelectorAll("input:checked").forEach((box) => chosen.set(box.value, box));
  show();
}
