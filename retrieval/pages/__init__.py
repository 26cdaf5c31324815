"""The pages: Gradio on top of the engine, wiring and nothing else."""
