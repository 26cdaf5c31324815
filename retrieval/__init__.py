"""Find the pictures of a collection that look most like a given one.

The engine's modules, in the order in which data flows: one knows only what stands before it here.

- Underneath: `errors`, `setup`, `settings`, `files`, `disk_names`, `tables`, `fonts`, `pickles`,
  `memory`, `open_files`, `temporary`, `terminal`.
- A picture is found and opened: `paths`, `folders`, `captions`, `boxes`, `headers`, `conversion`,
  `images`; in object storage `objects`, on the web `fetching`.
- A network sees it: `preprocessing`, `connected`, `gpu_session`, `openvino_session`, `model`; and
  it becomes unit vectors: `reduction`, `ranking`, `family`, `features`, `colour`, `sketch`,
  `embedding`.
- They are kept with what is known of it: `records`, `schema`, `database`, `store`, `vectors`; asked
  for: `feedback`, `query`, `filtering`, `listing`; and ranked where they lie: `gallery`, `exact`,
  `lost`, `writing`, `milvus_access`, `milvus_kinds`, `milvus_layout`, `milvus`, `outbox`. What is
  taken out is noted: `excluded`; its photos lie apart for a time: `ages`, `removed`. All of it is a
  `collection`.
- A folder comes in: `looking`, `passed_over`, `changes`, `thumbnails`, `indexing`, `extraction`,
  `cluster`, `building`.
- What people hand over: `staging`, `zips`, `incoming`, `caption_tables`, `taking`, `uploads`.
- A collection is looked after: `originals`, `removals`, `relocated`, `library`, `trash`,
  `first_page`, `salvage`, `lost_facts`, `mending`, `moving`, `whole_files`, `checking`.
- It is searched: `cleaning`, `confidence`, `reranking`, `duplicates`, `search`, `explanation`;
  looked around in: `copies`, `layout`, `atlas`, `background`.
- A search is measured: `rankings`, `evaluation`, `curves`, `compare`, `quality`, `baselines`,
  `cifar`, `paper`; and shown: `charts`, `plots`, `report`.
- Something is taken away: `packing`, `sheets`, `bundle`, `bundle_photos`, `unbundling`, `space`,
  `hub`.
- An app serves it all: `refusals`, `shelf`, `workspace`, `visitors`; on top of them `commands` and
  `pages`.
"""

import os

# ONNX Runtime's own package for Linux reports its use to Microsoft, unless it is told not to before
# it is loaded. Nothing is to leave the machine unasked.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
