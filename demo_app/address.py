"""The page's address: `?model=NAME&panel=units` opens both, and follows what a visitor chooses."""

from collections.abc import Collection, Mapping
from typing import Any

import gradio as gr

# Clicks are listened to and not gradio's own event of a tab, which the first tab sends by itself
# whenever the page opens.
FOLLOW = """() => {
  const known = %s;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("#panels button");
    const name = button ? button.innerText.trim().toLowerCase() : "";
    if (known.includes(name)) audiovqRemember("panel", name);
  });
  window.audiovqRemember = (key, value) => {
    const url = new URL(window.location);
    url.searchParams.set(key, value);
    window.history.replaceState(null, "", url);
  };
}"""
REMEMBER_MODEL = """(name) => { audiovqRemember("model", name); return name; }"""


def follow(panels: Collection[str]) -> str:
    """Return the script that lets the address name the panel that is open."""
    return FOLLOW % str(list(panels))


def chosen(
    wanted: Mapping[str, str], models: Collection[str], panels: Collection[str]
) -> list[Any]:
    """Return updates of the model's menu and of the tabs; warns of what is asked for in vain.

    Args:
        wanted: parameters of the address.
        models: that are there, by name.
        panels: that are there, by name.
    """
    name, panel = wanted.get("model"), wanted.get("panel")
    model = tab = gr.skip()
    if name in models:
        model = gr.update(value=name)
    elif name:
        gr.Warning("The address asks for a model that is not here.")
    if panel in panels:
        tab = gr.update(selected=panel)
    elif panel:
        gr.Warning("The address asks for a panel that there is not.")
    return [model, tab]
