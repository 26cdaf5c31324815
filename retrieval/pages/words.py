"""Every sentence of the pages, in one place, so that they can be read, mended and translated."""

TITLE = "Lookalike"
TAGLINE = "Drop in a picture and see the ones that look most like it."

TAB_SEARCH = "Search"

COLLECTION = "Collection"
ALL_COLLECTIONS = "All collections"
NO_COLLECTION = "There is no such collection. Leave the field empty to search all of them."
SEVERAL = "{n} collections"

QUERY = "Your picture"
DROP = "Drop, paste or choose a picture"
EXAMPLES = "Or try one of these"
COUNT = "Results"

BROWSE = "A look around"
BROWSE_HINT = "Pick any picture to see more like it."
RESULTS = "Most similar"
LIKE_YOURS = "to your picture"
LIKE_NAMED = "to {name}"
BACK = "Show all"
MORE_LIKE_THIS = "More like this"
TILE = "{name}{label}, {percent} % similar. More like this"
TILE_BROWSE = "{name}{label}. More like this"

EMPTY_TITLE = "No pictures here yet"
EMPTY_BODY = (
    "This collection has no pictures that can be read. Start the app with a folder of yours: "
    "python app.py --pictures FOLDER"
)
EMPTY_BUILDING = "The first pictures appear here in a moment."

TRUTH = "{compared} pictures of {name} compared, exactly · {embedder} · {provider}"
TRUTH_TIMES = " · {total} ms (opening {decoding}, features {features}, ranking {ranking})"

BUILDING_SCAN = "Looking through the folder of {name} ..."
BUILDING = "Reading {name}: {done} of {total} pictures{left}. What is ready can be searched."
BUILDING_LEFT = ", {time} left"
BUILT = "{name} is up to date; {new} pictures were new."
BUILT_UNREADABLE = "{name} is up to date; {new} pictures were new, {unreadable} could not be read."
SECONDS = "{n} seconds"
A_MINUTE = "about a minute"
MINUTES = "{n} minutes"
HOURS = "{n} hours"

NO_FILE = "No picture arrived. Send one and try again."
