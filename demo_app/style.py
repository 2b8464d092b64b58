"""How the page looks: system fonts, one calm colour, right in the light and in the dark."""

from typing import Any

_CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
#title h1 { font-weight: 650; letter-spacing: -0.01em; margin-bottom: 0; }
#title p { color: var(--body-text-color-subdued); margin-top: 0.2em; }
.note, .note .prose, .note .prose * { color: var(--body-text-color-subdued); }
.missing { border-left: 3px solid var(--color-accent); padding-left: 0.9em; }
.missing .missing { border: 0; padding: 0; } /* gradio gives the class to both */
.picture img { width: 100%; height: auto; padding-top: 30px; } /* under label and buttons */
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 10px; }
.figures div { background: var(--block-background-fill); border-radius: 8px; padding: 9px 12px;
  border: 1px solid var(--border-color-primary); }
.figures span { display: block; color: var(--body-text-color-subdued); font-size: 0.8em;
  line-height: 1.35; }
.figures b { display: block; font-size: 1.2em; font-weight: 600; color: var(--body-text-color); }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 10px; }
.clips figure { margin: 0; }
.clips audio { width: 100%; height: 38px; }
.clips figcaption { font-size: 0.8em; color: var(--body-text-color-subdued); }
.scrolls { overflow-x: auto !important; contain: inline-size; } /* and not the page */
.scrolls th, .scrolls td, .scrolls [role=columnheader], .scrolls [role=gridcell] {
  font-size: 0.82em; white-space: normal; min-width: 6.2em; }
.scrolls * { overflow-wrap: normal !important; word-break: normal !important; }
.dark .picture, .dark .picture .image-frame { background: #0b0f19; }
.dark .clips audio { color-scheme: dark; }
@media (max-width: 640px) {
  .gradio-container { padding: 8px !important; }
  .figures, .clips { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .clips { grid-template-columns: minmax(0, 1fr); }
}
"""


def looks() -> dict[str, Any]:
    """Return what `gradio.Blocks.launch` takes for the page's looks: theme and css."""
    import gradio as gr  # noqa: PLC0415  (optional, and slow to import)

    sans = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
    mono = ["ui-monospace", "Menlo", "Consolas", "monospace"]
    theme = gr.themes.Base(
        primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=sans, font_mono=mono
    ).set(
        block_border_width="1px",
        block_shadow="none",
        block_radius="10px",
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_600",  # the default's contrast is 2.6, too little
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        link_text_color="*primary_700",
    )
    return {"theme": theme, "css": _CSS}
