"""Turn a VGG-16 into one ONNX file; the only package that imports torch."""

import os

# ONNX Runtime's own package for Linux reports its use to Microsoft, unless it is told not to before
# it is loaded. Nothing is to leave the machine unasked.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
