"""Turn a VGG-16 into one ONNX file; the only package that imports torch."""
