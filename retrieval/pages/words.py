"""Every sentence that the pages say of themselves, in one place: to be read, mended, translated.

What the engine cannot do it says in its own errors, and `report.py` writes the self-test's report.
"""

import sys
from collections.abc import Sequence

TITLE = "Lookalike"
TAGLINE = "Drop in a picture and see the ones that look most like it."

TAB_SEARCH = "Search"

COLLECTION = "Collection"
ALL_COLLECTIONS = "All collections"
NO_COLLECTION = "There is no such collection. Leave the field empty to search all of them."
COLLECTIONS_ARE = " Or name one of these: {names}{rest}."
MORE_COLLECTIONS = " and {n} more"
SEVERAL = "{n} collections"

# The search page: the question.
QUERY = "Your picture"
DROP = "Drop, paste or choose a picture"
DROP_TOUCH = "Choose or take a picture"
CAMERA_START = "Turn the camera on"
WEB_ADDRESS = "Or a picture's web address"
WEB_ADDRESS_HINT = "example.org/cat.jpg"
WEB_ADDRESS_SEND = "Search with the picture at this address"
EXAMPLES = "Or try one of these"
COUNT = "Results"
MATCHING = "What should match?"
PRESETS = ("Same thing", "Same colours", "Same texture", "A bit of each")
SUBJECT = "What it shows"
COLOUR = "Colours"
TEXTURE = "Texture"
MATCHING_HINT = (
    "Colours and texture are much alike in most pictures, so 90\u00a0% means little there. Go by "
    "the words beside the number."
)
FILTERS = "Filter and sort"
FILTER_LABEL = "Kind"
FILTER_FOLDER = "Folder"
FILTER_ANY = "Any"
FILTER_SHAPE = "Shape"
SHAPES = ("Landscape", "Portrait", "Square")
FILTER_MEGAPIXELS = "At least, in megapixels"
FILTER_SINCE = "Taken since"
FILTER_UNTIL = "Taken until"
FILTER_WORDS = "Words in the caption"
DATE_HINT = "2024-07-31"
MEGAPIXELS_HINT = "2.5"
ORDER = "Sort by"
ORDERS = (
    *("Most similar first", "Newest first", "Oldest first"),
    *("By name", "By kind", "By folder"),
)
CLEANING = "Clean up your picture first"
CLEANINGS = ("When it helps", "Always", "Never")
CLEANED = "Your picture was cleaned up before searching: less noise, more light."
BEFORE = "Before"
AFTER = "After"
SAVE = "Save these results"
SAVE_KINDS = ("Pictures (ZIP)", "Table (CSV)", "Sheet (PNG)", "Sheet to print (PDF)")
SHEET_TITLE = "Pictures that look alike"
SAVE_BUTTON = "Save"
SAVED_WITHOUT = (
    "Not in the file: {pictures}, for which there was no room, or which are not there any more. "
    "The table (CSV) names all of them."
)
SAVED_SMALL = (
    "{n} pictures are in the file as small copies, since the photos themselves cannot be had now. "
    "If they are on another disk, connect it and save again."
)
SAVED_SMALL_ONE = (
    "1 picture is in the file as a small copy, since the photo itself cannot be had now. If it is "
    "on another disk, connect it and save again."
)
SAVED_TOO_LARGE = (
    "In the file as small copies: {pictures}, for which there was no more room as they are. Save "
    "fewer results at once."
)
NOTHING_TO_SAVE = "There are no results to save yet. Search for something first."
PART_OF_IT = "Search for a part of it"
CROP_HINT = "Drag to search for a part"
CROP_DRAW = "Drag a box around the part"
CROP_START = "Search for a part"
CROP_SPOKEN = (
    "A part of your picture to search for. Enter marks the middle, arrow keys move it, with Shift "
    "they change its size, and Escape takes the whole picture again. With a pointer, drag a box."
)
CROP_KEYS = "Enter, then arrows; with Shift another size"
CROP_BOX = "Left {left}\u00a0%, top {top}\u00a0%, width {width}\u00a0%, height {height}\u00a0%"
CROP_RESET = "Whole picture"
CROP_BELOW = "Show results"
CROPPED = "a part of it"
TURN = "Turn the picture by a quarter"

# The search page: the answer.
BROWSE = "A look around"
BROWSE_HINT = "Pick any picture to see more like it."
RESULTS = "Most similar"
RESULTS_ORDERED = "Similar"  # where they stand in another order
ORDERED = "{subject}, {order}"
LIKE_YOURS = "to your picture"
LIKE_NAMED = "to {name}"
LIKE_SEVERAL = "to {n} pictures together"
BACK = "Start over"
MORE_LIKE_THIS = "More like this"
ADD_MORE = "Also like this one"
ADD_LESS = "Less like this one"
WHY = "Why this match?"
WHY_DETAILS = "Why this match? Details of the picture"
LOOK = "Look at it"
LOOK_BEFORE = "The picture before"
LOOK_NEXT = "The next picture"
LOOK_PLACE = "{n} of {total}"
CLOSE = "Close"
COPIES = "{n} copies"
COPIES_OPEN = "{copies} of {name}. Show them"
COPIES_NOTE = (
    "So much alike that they are one result. Press a picture to open it in a tab of its own."
)
COPIES_SAME_AS = "the very same file as {name}"
COPIES_FIRST = "the one in the results"
COPIES_REST = "And {n} more. The table (CSV) under “Save these results” names all of them."
CHIPS = "What you are looking for"
CHIP_UNLIKE = "not {name}"
CHIP_REMOVE = "Remove {name}"
TILE = "{name}{label}, {percent} % similar, {sure}. More like this"
TILE_BROWSE = "{name}{label}. More like this"
SPOKEN = "{pictures}, most similar {subject}. The first one: {first}, {sure}."
SPOKEN_ORDERED = "{pictures}, similar {subject}. The first one: {first}, {sure}."
SPOKEN_UNLIKE = "{subject}, and less like {names}"
CONFIDENCE = (
    "no real match",
    "loosely related",
    "similar",
    "very similar",
    "almost the same",
)
SAME_FILE = "the same picture"
DIVIDER = "Less alike from here on"
NOTHING_MATCHES = "Nothing here really matches. These come nearest all the same."
NO_UPLOAD = (
    "This search was about an uploaded picture. Of each browser the last six are kept, for some "
    "hours and while the app runs. Choose it here again, or ask its sender for it."
)
LINK_GONE = (
    "The collection of this address is not here: it was deleted, hidden or renamed, it is on "
    "another computer, or it belongs to a visitor, and only their browser can see it. Shown "
    "instead: {name}."
)
SEARCHED_WITHOUT = (
    "{n} pictures of this search could not be found here and were left out. An uploaded one can be "
    "chosen here again."
)
SEARCHED_WITHOUT_ONE = (
    "1 picture of this search could not be found here and was left out. If it was an uploaded one, "
    "choose it here again."
)
FORGOTTEN = (
    "This page was left open for a long time, so its search was forgotten. Reload the page to "
    "bring it back; an uploaded picture has to be chosen here again."
)
DROPPED_NO_PICTURE = (
    "That is not a picture to search with. Give a JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC or AVIF; "
    "folders and zips go under “My pictures”."
)
DROPPED_NO_FILE = (
    "The browser hands over no file with that. Save the picture on this device, if it is on "
    "another page, and choose it with the page's own buttons."
)
GIVEN_TOO_SOON = (
    "The picture before this one is still on its way. Wait until it is here, then give this one "
    "again."
)
PASTED_NOTHING = (
    "There is no picture to be pasted. Copy one first: right-click on it, or hold a finger on it, "
    "then “Copy image”."
)
PASTE_REFUSED = (
    "The browser did not let the page look at what was copied. Click on the page and press Ctrl+V, "
    "on a Mac Cmd+V; or save the picture on this device and choose it here."
)
NO_CAMERA = (
    "There is no camera that could be used. Connect one, or close what else is using it, then try "
    "again."
)
CAMERA_REFUSED = (
    "The browser did not let the page use the camera. Allow it beside the page's address, then try "
    "again."
)
DROPPED_SEVERAL = (
    "One picture at a time: this is what looks like the first. To ask with several, press “Also "
    "like this one” on results. To keep yours here, drop them under “My pictures”."
)
NO_MEGAPIXELS = "That is not a size in megapixels. Write it like 2 or 2.5."
NO_DATE = "That is not a date. Write it like 2024-07-31, 2024-07 or 2024."
NOTHING_WANTED = "Choose at least one picture that the results should be like."
MOST_PICTURES = "One search takes {n} pictures at most. Take one away before you add another."
NOTHING_COUNTS = "Turn at least one of the three sliders up."

LOST = (
    "Lookalike is not running (or cannot be reached). Start it again; this page goes on by itself."
)
UNREACHABLE = (
    "This page cannot reach Lookalike at the moment. It goes on by itself as soon as it can."
)
LATE = (
    "Lookalike does not answer just now. It may be busy, open in too many tabs, or the connection "
    "gone: close some of them, or wait a moment."
)

FACT_LABEL = "Kind"
FACT_FILE = "File"
FACT_SIZE = "Size"
FACT_TAKEN = "Taken"
WHY_NOTE = (
    "The warmer a place, the more the two have in common there. Overall they are {percent}\u00a0% "
    "alike in what they show. The result may show another number, because it also counts whether "
    "both are like the same other pictures, and colours or texture where you chose them."
)
WHY_SEVERAL = "Of the {n} pictures you search with together, this one is the most like the result."
WHY_NOT = "The network in use cannot show where two pictures resemble each other."

EMPTY_TITLE = "No pictures here yet"
STILL_READ_TITLE = "The pictures are still being read"
EMPTY_BODY = "There is none that can be read. Add some under “My pictures”."
ALONE_TITLE = "No other picture here"
ALONE = "There is nothing else here to compare with. Add more under “My pictures”."
EMPTY_BUILDING = "The first pictures appear here in a moment."
NONE_PASS_TITLE = "No picture passes"
NONE_PASS = "No picture here has all that you ask for under “Filter and sort”."
NO_OTHER_TITLE = "No other picture passes"
NO_OTHER = "Only what you search with has all that you ask for under “Filter and sort”."
NO_FILTERS = "All pictures"

TRUTH = "{compared} of {name}"
TRUTH_FOUND = "{compared} of {name} compared in {total} ms"
TRUTH_TITLE = "How it was computed"
TRUTH_HOW = "{embedder} · {provider}"
TRUTH_STEPS = " · {method} · opening {decoding} ms, features {features} ms, ranking {ranking} ms"

BUILDING_SCAN = "Looking through the folder of {name} ..."
BUILDING = "Reading {name}: {done} of {pictures}{left}. What is ready can be searched."
BUILDING_LEFT = ", {time} left"
BUILT = "New in {name}: {new}."
BUILT_UNREADABLE = "New in {name}: {new}; {unreadable} could not be read."
BUILT_NONE_READABLE = "Nothing that is new in {name} could be read ({files})."
A_SECOND = "a second"
SECONDS = "{n} seconds"
A_MINUTE = "about a minute"
MINUTES = "{n} minutes"
HOURS = "{n} hours"

OPEN_ORIGINAL = "Open the original"
ORIGINAL_AWAY = (
    "This is a small copy, since the photo itself cannot be had now. If it is on another disk, "
    "connect it and look again."
)
NO_FETCHING = "Web addresses are switched off here. Save the picture and choose it here."
NO_FILE = "No picture arrived. Send one and try again."
NO_NUMBER = "The number of results has to be a number. Send one, such as 24."

# What the gate says to programs and to pages that ask for what is not theirs.
WENT_WRONG = "Something went wrong. Reload the page and try again; what was finished is kept."
NO_ADDRESS = "There is nothing at this address."
NO_REQUEST = "This request is not one that the app understands. Reload the page and try again."
LARGE_REQUEST = "This request is too large. Send less at once."
MANY_COOKIES = (
    "Your browser sends more cookies along than are read here. Delete those of this site in its "
    "settings, and reload the page."
)
OTHERS_SESSION = (
    "This page was opened in another browser, or before this one had its cookies deleted. Reload "
    "it and try again."
)
OTHER_SITE = (
    "This was asked by a page of another site. Open this one in a tab of its own and try there."
)
OTHER_NAME = (
    "Lookalike does not answer to this name. On its own computer open it by the address that its "
    "terminal shows, on another by its computer's number in your network, such as "
    "http://192.168.1.5:7860; behind a proxy of your own, start it with LOOKALIKE_PUBLIC=1."
)
FOR_ASSISTANTS = "This address is for assistants (MCP): give it to one, rather than to a browser."
BUSY = "Many people are using this at the moment. Try again in a few seconds."
TOO_OFTEN = "That was a lot at once. Wait {time}, then go on."
NO_ROOM = "Too many pictures are being sent at the moment. Try again in a minute."
NOT_SENT = "That file is not here any more. Send it again."

# How good is it?
TAB_TEST = "How good is it?"
TEST_LEAD = (
    "Pictures that are sorted into subfolders, or labelled in a CSV, can test the search: each one "
    "is searched for in turn, and a result counts as right when it is of the same kind."
)
TEST_START = "Test this collection"
TEST_STOP = "Stop"
TEST_EMPTY = "Press the button, and the figures appear here."
TEST_WAITS = "Getting ready. If another test is running, this one starts after it."
TESTING = "{done} of {total} pictures searched for{left}"
TEST_DRAWS = "Drawing the charts ..."
TEST_LEFT = ", {time} left"
TEST_STOPPED = "Stopped."
TEST_DONE = "{n} searches in {seconds} seconds."
TEST_DONE_AT_ONCE = "{n} searches in less than 0.1 seconds."
STILL_BUILDING = "unfinished"
STILL_BUILDING_WHAT = "the collection was still being read; what was ready took part"
TEST_LATER = "The pictures are still being read. Test them when all of them are ready."
TEST_GONE = "That collection is not here any more. Test another one."
TEST_PROGRESS = "Progress of the test"
TEST_TITLE = "How good is it on {name}?"
COMPARE = "Compare with"
COMPARE_INFO = (
    "A picture can be described in other ways: by more numbers or fewer, with rare traits counting "
    "more or less, by another network, or without letting its neighbours count. Both ways are "
    "tested on the same pictures."
)
COMPARE_START = "Compare"
COMPARING = "{done} of {total} pictures seen by the network{left}"
COMPARED = "Compared on {pictures} in {time}."
NO_SETTING = "Choose a setting to compare with."
FOUND = "What {name} finds"
FOUND_LEAD = (
    "The nearest of those that have a kind, the most similar first. Pale ones are not of the kind "
    "{label}."
)
DOWNLOAD_REPORT = "Report (HTML)"
DOWNLOAD_CSV = "Figures (CSV)"
TEST_CSV = "the CSV"  # as the report calls it: so many kinds more are in ...
DOWNLOAD_PNG = "Charts (PNG)"

# My pictures
TAB_LIBRARY = "My pictures"
ADD_TITLE = "New collection"
ADD_DROP = "Drop a folder, pictures or a zip here"
ADD_DROP_TOUCH = "Add pictures, or a zip of them"
ADD_FOLDER = "Choose a folder"
ADD_FILES = "Choose files"
ADD_LABELS = (
    "Each subfolder becomes a kind to filter by. A CSV with a column “filename” adds captions."
)
ADD_TO = "To add to a collection, drop on its card."
ADD_TO_TOUCH = "To add to a collection, use the button on its card."
ADD_VISITOR = (
    "Only you see them, in this browser. Small copies are kept for {hours} hours, then everything "
    "is deleted; sooner when others need the room and you have not looked for {minutes} minutes. "
    "The photos themselves are deleted as soon as they have been read."
)
ADD_CLOSED = (
    "Your browser refuses cookies, so pictures of your own cannot be kept here. Allow them for "
    "this page, or open it in a tab of its own."
)
FOLDER_LABEL = "Or name a folder on this computer"
# Not this computer's own: visitors could find it in the page.
FOLDER_HINT = {"win32": r"C:\Users\Me\Pictures", "darwin": "/Users/me/Pictures"}.get(
    sys.platform, "/home/me/Pictures"
)
FOLDER_INFO = "It is searched in place: nothing in it is copied or changed."
FOLDER_BUTTON = "Search this folder"
FOLDER_GONE = "There is no folder {name}. Copy its path from the file manager, and try again."
FOLDER_NONE = "Type or paste the path of a folder first."
FOLDER_FOLLOWED = "These are the photos of {name}, which goes on with this folder."
PASSWORD_TITLE = "Are you the owner?"
PASSWORD_LABEL = "Password"
PASSWORD_BUTTON = "Unlock"
DOWNLOADS_FULL = (
    "Collections are being downloaded already. Wait until they are here, then try again."
)
PASSWORDS_TRIED = "Too many passwords are being tried. Wait {time}."
PASSWORD_NO_COOKIE = (
    "That is the password, but your browser refuses cookies, by which you would be known. Allow "
    "them for this page, or open it in a tab of its own, and try again."
)
DOWNLOAD_NOT_YOURS = "Only the owner may download this collection."
PASSWORD_SHORT = (
    "The password has fewer than {n} letters, so strangers may guess it, or keep you from giving "
    "it by trying without end. Choose a longer one."
)
PASSWORD_WRONG = "That is not the password. Try again."
PASSWORD_RIGHT = "You can change the collections now."
NO_PASSWORD_HINT = (
    "These collections belong to the owner. You can search them, and add pictures of your own."
)
OTHERS_HINT = (
    "Those that only you see are yours; the others belong to the owner. You can search them all."
)
YOUR_COLLECTIONS = "Collections"
NO_COLLECTIONS = "No collections yet"
NO_COLLECTIONS_BODY = "Add a folder of pictures, and they can be searched in a moment."
UNREAD = "{n} could not be read"
IN_PLACE = "searched in place in the folder {folder}"
KEPT_HERE = "copies are kept here"
NOT_HERE = "opened without its photos"
SHIPPED = "comes with the app"
PRIVATE = "only you see it, for {time} more"
LIBRARY_BUILDING = "{done} of {pictures} read"
LIBRARY_RATE = " · {rate} a second"
LIBRARY_LEFT = " · {time} left"
LIBRARY_SCAN = "Looking through the pictures ..."
LIBRARY_STOPPING = "Stopping after the pictures being read now ..."
LIBRARY_WAITS = "Waiting for its turn: another collection is being read ..."
LIBRARY_READY = "{pictures} ready."
LIBRARY_ADDED = "{pictures} added."
CAPTIONED = "Captions for {pictures}, from {table}{rest}."
CAPTIONED_NONE = (
    "No captions from {table}: none of its rows names a picture here (folders are part of a name)."
)
CAPTIONS_UNREAD = "No captions from {table}."
CAPTIONS_AGAIN = "Then add it again."
LIBRARY_NONE = "There is no picture in it that can be read."
LIBRARY_READY_UNREAD = "{pictures} ready, {unread} could not be read."
LIBRARY_STOPPED_AT = (
    "Stopped before the end: {left} of {pictures} still to be read. What was read can be searched."
)
LIBRARY_TAKING = "Taking in what was sent ..."
LIBRARY_STOPPED = "Stopped before the end; what was read can be searched."
DO_SEARCH = "Search"
DO_CANCEL = "Stop"
DO_RESUME = "Go on"
DO_ADD = "Add pictures"
DO_LOOK = "Look for changes"
DO_PICTURES = "Show pictures"
DO_RENAME = "Rename"
DO_DOWNLOAD = "Download"
DO_DELETE = "Delete"
DO_HIDE = "Hide"
DO_SHOW_AGAIN = "Show it again"
DO_UNDO = "Undo"
DO_CLOSE = "Close"
DO_SAVE = "Save"
DO_SHOW_PROBLEMS = "Show which"
DO_CSV = "Save as a table (CSV)"
DO_REMOVE = "Take out"
DO_REMOVE_MARKED = "Take {n} out"
DO_MARK = ("Mark all", "Unmark all")
DO_MARK_PAGE = ("Mark this page", "Unmark this page")
DO_APPLY = "Apply"
DO_READMIT = "Let them in again"
DO_MORE = "Next"
DO_LESS = "Back"
NAME_LABEL = "Name of the collection"
DELETED = "{name} was deleted."
HIDDEN = "{name} is hidden."
HIDDEN_HINT = "Visitors do not see it either."
HIDDEN_ALONE = "There would be no collection left to show. Make one of your own first."
DELETED_HINT = "It can be brought back for a day."
DELETED_IN_PLACE_HINT = "It can be brought back for a day, and its photos stay where they are."
REMOVED = "{pictures} taken out of {name}."
CAME_BACK = "{pictures} are back in {name}."
CAME_BACK_ONE = "1 picture is back in {name}."
REMOVED_HINT = "In the folder nothing changes."
REMOVED_FOR_GOOD = "{n} of them cannot be brought back, since their photos are not here."
ALL_REMOVED_FOR_GOOD = "They cannot be brought back, since their photos are not here."
ONE_REMOVED_FOR_GOOD = "It cannot be brought back, since its photo is not here."
NOTHING_MARKED = "Mark at least one picture first."
REMOVED_BEFORE = "What you marked is not in the collection any more."
DELETE_FOR_GOOD = (
    "It cannot be brought back. Only the copies here are deleted; your own photos stay where they "
    "are."
)
DO_DELETE_FOR_GOOD = "Delete for good"
EMPTY_FOR_GOOD = (
    "Delete {name} for good, with the copies of photos that it keeps? Photos elsewhere on your "
    "disks stay where they are."
)
EMPTY_WITHOUT_PHOTOS = (
    "Delete {name} for good? It cannot be brought back then; your photos stay where they are."
)
DO_KEEP = "Keep"
BIN = "Deleted and hidden collections"
DO_MEND = "Mend"
MENDED = "{name} was rebuilt from what could still be read; its photos were not touched."
MENDED_RETURNING = (
    "Some that you had taken out may be in it again: look through “Show pictures”, and take them "
    "out once more."
)
DELETED_FOR_GOOD = "{name} was deleted for good."
CHANGES_NONE = "Nothing has changed."
CHANGES_FORGOTTEN = "What was found has been forgotten. Press “Look for changes” once more."
REMOVED_FORGOTTEN = (
    "This page was left open for a long time, so there is nothing left to undo. Press “Look for "
    "changes”, then “Let them in again” and “Apply”."
)
CHANGES_BESIDE = (
    "The folder has been looked through, but something else is open here. Close it, and look for "
    "changes once more."
)
CHANGES = {
    "new": "{n} new",
    "changed": "{n} changed",
    "touched": "{n} with another date",
    "moved": "{n} moved",
    "vanished": "{n} gone",
    "captions": "{n} with other captions",
    "let_in": "{n} that you took out, let in again",
}
CHANGES_TOUCHED = (
    "Those with another date are compared when you apply, and read anew only if they have changed."
)
CHANGES_OUT = "Left out, since you took them out: {n}."
CHANGES_CLOSED = "The folder {name} may not be opened; its pictures stay as they were."
CHANGES_UNTOLD = "{why} Pictures whose vectors were lost there are not listed."
CHANGES_TABLE = "The table (CSV) {name}: {why}"
CHANGES_UNREAD = "Until then labels and captions there stay as they are."
AND_MORE = "and {n} more"
PROBLEM_FILE = "File"
PROBLEM_WHY = "Why"
DOWNLOAD_SMALL = "Without the photos"
DOWNLOAD_SMALL_HINT = "Quick to send: small copies of the pictures, which can be searched."
DOWNLOAD_ALL = "With the photos"
DOWNLOAD_ALL_HINT = "Large: it may take a minute or more until the download begins."
DOWNLOAD_HINT = "One file for another computer: drop it on this page there to open it."
DOWNLOAD_LOST = "The download did not begin. Check the connection, then try again."
TAKEN_NONE = "There was no picture in {name} that can be read."
TAKEN_THIS = "this"  # files that came in no folder or zip
TAKEN_NO_TABLE = "Nothing was added."
TAKEN_TABLE_ALONE = (
    "Nothing was added: a table (CSV) alone makes no collection. Add it on the card of the "
    "collection that it tells of, or together with the pictures."
)
TAKEN_SKIPPED = "Left out ({n}):"
TAKEN_OTHERS = (
    "Left out: {files} of other kinds. "
    "These are read: JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC and AVIF."
)
TAKEN_ABOUT = "About {name}:"  # what came of an upload, before one of the others
TAKEN_KNOWN = "Already there, and not added again: {pictures}."
TAKEN_NOTHING_NEW = "All of these pictures are in {name} already."
ADDED = "{pictures} added to {name}."
OPENED = "{name} was opened, with {pictures}."
OPENED_MISSING = "Photos that were gone when it was packed, or that cannot be kept here: {n}."
OPEN_NOT_YOURS = "Only the owner can open a packed collection here."
NOT_YOURS = "Only the owner can change that collection."
PICTURES_PAGE = "{first} to {last} of {total}"
PICTURES_ALONE = "{n} of these have no photo here: once taken out, they cannot be brought back."
PICTURE_ALONE = "1 of these has no photo here: once taken out, it cannot be brought back."
ALL_PICTURES_ALONE = (
    "None of these has its photo here: once taken out, they cannot be brought back."
)
OTHERS_ALONE = "{n} of the others have no photo here: once taken out, they cannot be brought back."
OTHER_ALONE = "1 of the others has no photo here: once taken out, it cannot be brought back."
ALL_OTHERS_ALONE = "The others have no photos here: once taken out, they cannot be brought back."
ONLY_OTHER_ALONE = "The other one has no photo here: once taken out, it cannot be brought back."
MARK = "Mark {name}"
MARK_RANGE = "Shift and a click mark all in between."
ADD_IN_PLACE = (
    "{name} is searched in place. Put the pictures into its folder, then look for changes."
)
RELOAD = "Reload the page and try again."
NO_PICTURE_THERE = "There is no such picture."
UPLOAD_WORDS = {
    "sending": "Sending {done} of {total} · {percent} %",
    "sent": "Sent. Taking a look at them ...",
    "left": LIBRARY_LEFT,
    "seconds": SECONDS,
    "minute": A_MINUTE,
    "minutes": MINUTES,
    "hours": HOURS,
    "more": " · {n} more to come",
    "looking": "Looking through it ...",
    "again": "The connection was lost. Trying again ...",
    "none": "There is no picture in that. Add JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC or AVIF.",
    "archives": "Archives other than zip are not opened. Unpack them and add the folder.",
    "raw": "Cameras' raw files are not read. Export them as JPEG.",
    "failed": "The connection was lost, and nothing was added. Add them again.",
    "stop": "Stop",
    "stopped": "Stopped. Nothing was added.",
    "in_place": ADD_IN_PLACE.format(name="That collection"),
    "closed": "Nothing can be added to that collection. Drop beside it to make one of your own.",
}
UNTITLED = "My photos"  # a collection that nobody has named; not what the tab is called

# Map
TAB_MAP = "Map"
NO_MAP = "There is no such map."
NO_MAP_PART = "There is no such part of the map."
MAP_LEAD = "Pictures that look alike lie next to each other. Pick one to search for more like it."
MAP_HELP = (
    "Click a picture to search for more like it.",
    "Drag to move, and turn the wheel or pinch to zoom.",
    "By keyboard: arrows move, + and − zoom, 0 shows all, Enter searches.",
)
MAP_HELP_TOUCH = (
    "Drag to move, and pinch to zoom. A tap goes closer as long as the pictures are small; on a "
    "larger one it searches."
)
MAP_NONE = "As soon as there are pictures here, there is a map of them."
MAP_LATER = "The map is drawn when all of them are ready."
MAP_DRAWS_TITLE = "The map is being drawn"
MAP_DRAWS = (
    "Each picture ({n} in all) looks for its neighbours. That takes {time} or a little more, once; "
    "you can search in the meantime."
)
MAP_FAILED_TITLE = "There is no map"
MAP_SPOKEN = (
    "Map of {name}. Number of pictures: {n}. Arrow keys move, plus and minus zoom, 0 shows all, "
    "and Enter searches with the picture in the middle. Below it, the same is told in words."
)
MAP_IN = "Closer"
MAP_OUT = "Farther"
MAP_WHOLE = "The whole map"
MAP_WORDS = "The map in words"
MAP_PART = "{part}: {pictures}."
MAP_PARTS = (
    "Top left",
    "Top",
    "Top right",
    "Left",
    "Middle",
    "Right",
    "Bottom left",
    "Bottom",
    "Bottom right",
)
MAP_SEARCH = "Search with {name}"

# Copies
TAB_COPIES = "Copies"
COPIES_LEAD = (
    "Pictures of which there is more than one: the same file twice, other sizes, other quality, "
    "and shots in quick succession."
)
COPIES_SAFE = (
    "Lookalike deletes no photo of yours: what is taken out here leaves the collection, and your "
    "own file stays where it is. To delete files yourself, go by the list."
)
COPIES_OPEN_ONE = "Press a picture to open it in a tab of its own."
COPIES_RULE = (
    "The one to keep is the one with the most pixels; among equals it is the largest file, then "
    "the oldest."
)
COPIES_NONE_TITLE = "No copies"
COPIES_NONE = "{pictures}, and none of them twice."
COPIES_ALONE = "There is one picture here, and nothing to compare it with."
COPIES_EMPTY = "As soon as there are pictures here, they are looked through for copies."
COPIES_LATER = "They are looked through for copies when all of them are ready."
COPIES_NOT_YET = (
    "The list is not ready yet. Making it takes {time} or a little more; save it again then."
)
COPIES_SEARCH_TITLE = "Looking for copies"
COPIES_SEARCH = (
    "Each picture ({n} in all) is compared with all others. That takes {time} or a little more; "
    "you can search in the meantime."
)
COPIES_FAILED_TITLE = "There is no list"
COPIES_FOUND = "{pictures} pictures in {groups} groups"
COPIES_FOUND_ONE = "{pictures} pictures in 1 group"
COPIES_SPARE = "· you could free {size}"
COPIES_EXPORT = "Save the list (CSV)"
COPIES_FOLDER = "in {folder}"
COPIES_ALL_OUT = "No copies left in it"
COPIES_GROUP = "{n} copies"
COPIES_TAKE_OUT_ONE = "Keep the first, take the other out"
COPIES_TAKE_OUT = "Keep the first, take the other {n} out"
# Hebrew or Arabic in a name would turn the sentence around.
COPIES_TAKEN_OUT = "{pictures} taken out of \u2068{name}\u2069; \u2068{kept}\u2069 stays."
COPIES_PUT_BACK = "{pictures} put back into \u2068{name}\u2069."
COPIES_COMING_BACK = "{pictures} come back into \u2068{name}\u2069 once they have been read."
COPIES_CHANGED = (
    "These pictures have changed meanwhile. Open this tab again to see how they are now."
)
COPIES_KEEP = "✓ The one to keep"
COPIES_SAME = "the very same file"
COPIES_PAGE = "Groups {first} to {last} of {total}"
COPIES_MORE = "and {n} more, all of them in the list"
COPIES_MEGAPIXELS = "{n} MP"
COPIES_COLUMNS = (
    "group",
    "file",
    "hint",
    "width",
    "height",
    "megapixels",
    "bytes",
    "date",
    "same file",
)
COPIES_HINT_KEEP = "keep"
COPIES_YES = "yes"

# The terminal
STARTED = "Lookalike is open at {address} - Ctrl+C ends it."
CUT_SHORT = (
    "Lookalike ended last while pictures were still being sent or taken in, so some of them may be "
    "missing. Add all of them again: those that are in their collection already are left out."
)
SHARE_WAIT = "Making a public link ..."
SHARED = """
    {link}

Everybody who has this link can use your Lookalike, for a week or until you end it here.
They can
  - search these collections: {names},
    and see their pictures in small, with names, labels and captions;
  - save what they find, in small;
  - keep {collections} collections of their own with {pictures} pictures in all, which only they
    see, and which are deleted after {hours} hours, or sooner when others need the room.
They can't
  - change your collections, or get the photos themselves or their places on this computer;
  - see the pictures that others ask with or keep{fetch}.
For now you are a visitor too, even on this computer. {owner}
"""
SHARE_MORE = " and {n} more"
SHARE_NO_FETCHING = ";\n  - ask with a picture's web address"
SHARE_PASSWORD = 'The password, under "My pictures", makes you the owner.'
SHARE_NO_PASSWORD = "To change collections meanwhile, start with --password WORD."
SHARE_OFFLINE = (
    "There is no public link: the internet, or Gradio's server for links, cannot be reached. Check "
    "the connection, then start again with --share."
)
SHARE_BLOCKED = (
    "There is no public link: the tunnel's program could not be downloaded or run. An antivirus "
    "program may block it (frpc, of Gradio); allow it, then start again with --share."
)
SHARE_NO_ANSWER = (
    "There is no public link: Gradio's server for links does not answer. A firewall may block it; "
    "try another network, or try again later."
)
SHARE_NO_FOLDER = (
    "There is no public link: a certificate could not be written. Start the app in a folder that "
    "may be written."
)
SHARE_GOES_ON = "Here it goes on, for you alone: {address} (reload the page if it is open)."


def pictures(n: int) -> str:
    """Return how many pictures, in words that fit the number."""
    return "1 picture" if n == 1 else f"{n:,} pictures"


def files(n: int) -> str:
    """Return how many files, in words that fit the number."""
    return "1 file" if n == 1 else f"{n:,} files"


def _rows_without(n: int) -> str:
    return "1 row has" if n == 1 else f"{n:,} rows have"


def captions_for(found: int, without: int, flaws: Sequence[str], table: str) -> str:
    """Say of how many pictures a table that was added tells, in words that fit the numbers, and
    its flaws, with their cure.
    """
    rest = f"; {_rows_without(without)} no picture here" if without else ""
    said = [CAPTIONED.format(pictures=pictures(found), table=table, rest=rest)] if found else []
    if not found and not without and flaws:  # of its rows nothing is known
        said = [CAPTIONS_UNREAD.format(table=table)]
    elif not found:
        said = [CAPTIONED_NONE.format(table=table)]
    return " ".join((*said, *flaws, CAPTIONS_AGAIN) if flaws else said)


def pictures_alone(n: int, of: int) -> str:
    """Say how many of the pictures that are shown could not be brought back."""
    if n == of > 1:
        return ALL_PICTURES_ALONE
    return PICTURE_ALONE if n == 1 else PICTURES_ALONE.format(n=f"{n:,}")


def others_alone(n: int, of: int) -> str:
    """Say how many copies beside the one to keep could not be brought back."""
    if n == of:
        return ONLY_OTHER_ALONE if n == 1 else ALL_OTHERS_ALONE
    return OTHER_ALONE if n == 1 else OTHERS_ALONE.format(n=f"{n:,}")


def removed_for_good(n: int, of: int) -> str:
    """Say how many of the pictures that were taken out cannot be brought back."""
    if n < of:
        return REMOVED_FOR_GOOD.format(n=f"{n:,}")
    return ONE_REMOVED_FOR_GOOD if n == 1 else ALL_REMOVED_FOR_GOOD


def searched_without(n: int) -> str:
    """Say how many pictures a search does without, in words that fit the number."""
    return SEARCHED_WITHOUT_ONE if n == 1 else SEARCHED_WITHOUT.format(n=f"{n:,}")


def tested(searches: int, seconds: float) -> str:
    """Say how long a test took; no number of searches takes no time."""
    if seconds < 0.05:
        return TEST_DONE_AT_ONCE.format(n=f"{searches:,}")
    return TEST_DONE.format(n=f"{searches:,}", seconds=f"{seconds:,.1f}")


def saved_small(n: int) -> str:
    """Say how many pictures are saved in small, since their photos are not there."""
    return SAVED_SMALL_ONE if n == 1 else SAVED_SMALL.format(n=f"{n:,}")


def came_back(n: int, name: str) -> str:
    """Say that pictures are back in a collection, in words that fit the number."""
    return (CAME_BACK_ONE if n == 1 else CAME_BACK).format(pictures=pictures(n), name=name)
