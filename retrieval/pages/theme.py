"""The look of the page."""

import gradio as gr
from gradio.themes.utils.sizes import Size

# Gradio's sizes of letters, which grow with those that the browser is set to: its own are pixels.
LETTERS = Size(
    name="letters",
    xxs="0.5625rem",
    xs="0.625rem",
    sm="0.75rem",
    md="0.875rem",
    lg="1rem",
    xl="1.375rem",
    xxl="1.625rem",
)


def theme() -> gr.themes.Base:
    """Return the look: system fonts, so that no font is fetched, and quiet surfaces."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    return gr.themes.Soft(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        text_size=LETTERS,
        font=fonts,
        font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(
        # Soft's greys and its white on teal are too pale to be read by everybody: WCAG asks for a
        # contrast of 4.5.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_border_color="*primary_700",
        button_primary_border_color_dark="*primary_700",
        button_primary_border_color_hover="*primary_800",
        button_primary_border_color_hover_dark="*primary_800",
        button_secondary_background_fill_hover_dark="*neutral_600",  # Soft's is a pale teal
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        block_border_width="1px",
        block_border_width_dark="1px",
        block_shadow="none",
        # Soft's own is as white as the field: nobody would see that there is one.
        input_border_color="*border_color_primary",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_shadow="none",
        input_radius="8px",
        # What has the focus is told by a ring of our own, in style.css.
        input_border_color_focus="*primary_700",
        input_border_color_focus_dark="*primary_500",
        input_shadow_focus="none",
        input_shadow_focus_dark="none",
    )
