"""Default paths and the few numbers that one may want to change.

Commands and pages read them and hand them on. The engine takes arguments, but for what holds for
the whole program: where the app keeps its own, the bounds of files, uploads, visitors and temporary
files, and the mark of a model in 8 bits.
"""

import os
import tempfile
from pathlib import Path

from retrieval.setup import ENVIRONMENT, PYTHON_IN_IT, runs_in_it


def _number(variable: str, otherwise: int) -> int:
    """Return the number in an environment variable; any other text ends the program."""
    text = os.environ.get(variable) or str(otherwise)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise SystemExit(f"{variable} is {text}. Set it to a whole number from 1 on.")
    return int(text)


PROJECT = Path(__file__).resolve().parent.parent
ASSETS = PROJECT / "assets"


def _typed_python() -> str:
    if runs_in_it():
        return str(ENVIRONMENT.name / PYTHON_IN_IT)
    return "python" if os.name == "nt" else "python3"  # each knows the other seldom, or not at all


# What is typed for this Python in the project's folder, for sentences that name a command.
PYTHON = _typed_python()

# Whether this is a Space of Hugging Face: everybody there is a visitor, and what is written to its
# disk is lost at the next start.
ON_A_SPACE = os.environ.get("SYSTEM") == "spaces" or "SPACE_ID" in os.environ
# Whether everybody is a visitor until they give the password: where all requests come through a
# proxy, those of strangers may look like those of this computer.
PUBLIC = ON_A_SPACE or os.environ.get("LOOKALIKE_PUBLIC") == "1"
# Whether it runs on ZeroGPU, which lends its GPU to torch alone: the model stays on the CPU.
ON_ZERO_GPU = ON_A_SPACE and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")

# Collections and temporary files of this machine. Anchored to the project, not to the folder that
# the app was started from, so that starting it elsewhere never hides what one has built. On a Space
# the project is a repository that others see, so it goes to the folder for temporary files.
HOME = Path(
    os.path.expanduser(os.environ.get("LOOKALIKE_HOME", ""))  # no shell has, where it is quoted
    or (Path(tempfile.gettempdir()) / "lookalike" if ON_A_SPACE else PROJECT / ".lookalike")
)
COLLECTIONS = HOME / "collections"
# What browsers send on its way into a collection, and visitors' own collections; both are emptied
# at a start, unless another program is running that may use them.
UPLOADS = HOME / "uploads"
VISITORS = HOME / "visitors"
# Pictures that are searched with, and results to take away; emptied at a start as well.
RECEIVED = HOME / "received"
DOWNLOADS = HOME / "downloads"
# Collections that are being downloaded, packed: as large as all of their photos, so not in the
# system's folder for temporary files, which may be memory.
PACKED = HOME / "packed"
# Collections of pictures to measure on, downloaded once.
DATASETS = HOME / "datasets"

# Where the vectors of new collections are to be: the address of a Milvus, or "" for this machine.
MILVUS_URI = os.environ.get("LOOKALIKE_MILVUS_URI", "")

BUNDLED_MODEL = ASSETS / "models" / "lookalike-vgg16.onnx"
BUNDLED_PCA = ASSETS / "pca.pkl"
STARTER_COLLECTION = ASSETS / "starter" / "collection"
# On a published Space the collection that it shows instead, packed, and where it is opened.
PUBLISHED_COLLECTION = ASSETS / "published.lookalike"
PUBLISHED = HOME / "published"

PRINCIPAL_COMPONENTS = 256
TEXTURE_COMPONENTS = 64
TEXTURE_WHITENING = 0.5
RESULTS = 24
MAX_RESULTS = 200

# A picture is measured before it is decoded. 200 megapixels is beyond any phone (and panoramas
# reach 100). One to search with gets less, as one that a visitor adds: many may come at once.
MAX_PIXELS = 200_000_000
MAX_FILE_BYTES = 300 * 2**20
MAX_UPLOAD_PIXELS = 100_000_000
MAX_UPLOAD_BYTES = 50 * 2**20
# Of a request that carries no file, and how many values there are in it: a page sends a few KB, and
# a hundred values. An assistant sends its picture along, written as text.
MAX_REQUEST_BYTES = 2**16
MAX_REQUEST_VALUES = 2_000
MAX_TOOL_BYTES = 2**20
# What the owner may add at once: a whole card of a camera. One can always add more.
OWNER_PICTURES = 50_000
OWNER_BYTES = 64 * 2**30
# What a visitor may add at once and keep in all, for how long, and how many collections there are
# of all visitors together: 50 of 500 pictures are some 2 GB at worst.
VISITOR_BYTES = 500 * 2**20
VISITOR_PICTURES = 500
VISITOR_COLLECTIONS = 3
VISITOR_HOURS = 3.0
VISITORS_COLLECTIONS = 50
VISITORS_BYTES = 4 * 2**30  # of what all visitors are sending
VISITORS_SPARE_BYTES = 2 * 2**30  # of the disk that they leave free, so that the owner can go on
VISITOR_TABLES = 20  # of one collection
VISITOR_TABLE_BYTES = 5 * 2**20  # of these together
VISITOR_IDLE_SECONDS = 20 * 60  # after which a collection gives way, when there is no place left
# Uploads under way: of one visitor, of one network address, of all. A class has one address, as has
# whoever makes up cookies: neither takes all. An idle one gives way to others. One
# visitor may promise a quarter of VISITORS_BYTES, and one address three.
UPLOADS_OPEN = 8
UPLOADS_OPEN_AT_ONE_ADDRESS = 48
UPLOADS_OPEN_IN_ALL = 64
# Pictures to search with that are on their way, of all: beyond that the slowest gives way.
UPLOADS_AT_ONCE = 500
UPLOAD_IDLE_SECONDS = 60.0
UPLOAD_EMPTY_SECONDS = 10.0  # after which one of which nothing has come yet is idle
UPLOAD_WAITS_SECONDS = 7200.0  # for its turn, once all of a visitor's has come
# Packed collections that are downloaded at once by one visitor and by all: each takes room until
# it has been fetched. The owner's are not counted.
PACKED_AT_ONCE = 2
PACKED_IN_ALL = 50
MAX_CONNECTIONS = 4_000  # a page has one all the time, and some more while it loads
MAX_UNREAD = 100  # messages that a page has not fetched, each of up to some 100 KB
MAX_SAVED_BYTES = 500 * 2**20  # of pictures in one ZIP of results
# A picture at a web address is fetched by the server: for the owner always, for the visitors of a
# public page only when this is switched on, since the request comes from this computer.
FETCH_FOR_VISITORS = os.environ.get("LOOKALIKE_FETCH") == "1"
FETCH_SECONDS = 15.0
SHARE_SECONDS = 120.0  # for downloading the tunnel's program and connecting, once
# What a visitor may ask for in a minute. A click is one request, an upload two, and while a
# collection is built the page asks once a second how far it is.
VISITOR_REQUESTS = _number("LOOKALIKE_REQUESTS", 180)
# Of all visitors of one network address, as a class has, or of all who are not known yet behind one
# proxy.
ADDRESS_REQUESTS = 10 * VISITOR_REQUESTS
# How often all who are not known yet may open the page in a minute from behind one proxy: each time
# it is laid out anew, which takes a core some 17 ms.
FIRST_OPENINGS = 1_200
# What all visitors of one network address, or where that is a proxy's each of them, may fetch in a
# minute of what is computed or packed for each who asks: maps, lists of copies, packed collections.
# Small pictures lie ready, and do not count.
VISITOR_DOWNLOADS = max(1, VISITOR_REQUESTS // 3)
# Uploads and downloads on their way: deleted after an hour, at a start, and the oldest of them as
# soon as others need their room.
TEMPORARY = (RECEIVED, DOWNLOADS)
EMPTIED = (UPLOADS, VISITORS, PACKED, *TEMPORARY)
TEMPORARY_BYTES = 2 * 2**30
ARRIVING_BYTES = TEMPORARY_BYTES // 2  # of uploads that are not whole yet
ARRIVING_CALL_BYTES = 32 * 2**20  # of calls of tools that are not, which lie in memory
TEMPORARY_FILES = 20_000  # a walk over so many takes a fraction of a second; each upload is one
TEMPORARY_SECONDS = 3600.0
TEMPORARY_SPARED = 60.0  # seconds for which they are kept even when there is no room for more
# Pages that are remembered, each 0.2 to 1 MB; whoever comes back after so many others begins anew.
MAX_PAGES = 1_000
# Of one visitor, and of one network address, which a class shares. One who opens more loses their
# own.
PAGES_OF_VISITOR = 30
PAGES_AT_ONE_ADDRESS = 300
# Requests of one kind, as searches, that wait; whoever comes when their queue is full is told to
# try again.
MAX_QUEUE = _number("LOOKALIKE_QUEUE", 64)
# What one self-test on the page may ask for. Queries are spread over the classes; 2,000 put the
# figures within two points. A comparison runs the network over each of its pictures anew.
MAX_TEST_QUERIES = 2_000
MAX_COMPARED = 1_000


# Ends the name of a model's sibling in 8 bits.
INT8_MARK = "-int8"


def pca_path(model: Path) -> Path:
    """Return where the PCA of a model lives: the shipped one, or a pickle beside the model.

    It is the same for the model's sibling in 8 bits.
    """
    model = model.with_stem(model.stem.removesuffix(INT8_MARK))
    if model.resolve() == BUNDLED_MODEL:
        return BUNDLED_PCA
    return model.with_suffix(".pca.pkl")


def texture_path(pca: Path) -> Path:
    """Return where the PCA of a model's textures lives: beside that of its features."""
    return pca.with_suffix(".texture.pkl")
