"""The pages: Gradio on top of the engine, wiring and nothing else."""

from retrieval.pages.stubs import write_no_stubs

write_no_stubs()  # before any of them imports Gradio
