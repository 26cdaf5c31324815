"""Default paths and the few numbers that one may want to change; only entry points read them."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ASSETS = PROJECT / "assets"

# Collections and temporary files of this machine. Anchored to the project, not to the folder that
# the app was started from, so that starting it elsewhere never hides what one has built.
HOME = Path(os.environ.get("LOOKALIKE_HOME") or PROJECT / ".lookalike")
COLLECTIONS = HOME / "collections"

BUNDLED_MODEL = ASSETS / "models" / "lookalike-vgg16.onnx"
BUNDLED_PCA = ASSETS / "pca.pkl"
STARTER_COLLECTION = ASSETS / "starter" / "collection"

PRINCIPAL_COMPONENTS = 256
TEXTURE_COMPONENTS = 64
TEXTURE_WHITENING = 0.5
RESULTS = 24
MAX_RESULTS = 200

# A picture is measured before it is decoded. 200 megapixels is beyond any phone (and panoramas
# reach 100); a visitor's upload gets less, since strangers share the server's memory.
MAX_PIXELS = 200_000_000
MAX_FILE_BYTES = 300 * 2**20
MAX_UPLOAD_PIXELS = 100_000_000
MAX_UPLOAD_BYTES = 50 * 2**20
# Searches that wait; whoever comes when the queue is full is told to try again.
MAX_QUEUE = 64


def pca_path(model: Path) -> Path:
    """Return where the PCA of a model lives: the shipped one, or a pickle beside the model."""
    if model.resolve() == BUNDLED_MODEL:
        return BUNDLED_PCA
    return model.with_suffix(".pca.pkl")


def texture_path(pca: Path) -> Path:
    """Return where the PCA of a model's textures lives: beside that of its features."""
    return pca.with_suffix(".texture.pkl")
