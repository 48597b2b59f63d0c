// Pages read without JavaScript. With it, a page that asks for it (<main> … data-live="seconds") refreshes its content in place.
const live = document.querySelector("[data-live]");
if (live) {
  const seconds = Math.max(2, Number(live.dataset.live) || 5);
  setInterval(async () => {
    if (document.hidden || document.activeElement?.closest("[data-live]")) return; // never move what a person is using
    const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
    if (!answer?.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
    if (!fresh) location.reload(); // what was waited for is there
    else if (fresh.innerHTML !== live.innerHTML) live.replaceChildren(...fresh.childNodes);
  }, seconds * 1000);
}
