"""Gradio without the stubs that it writes for editors.

As each of its components is defined Gradio parses the file that it stands in, and writes a `.pyi`
beside it: half of the time that importing Gradio takes, at every start, and for no one who runs an
app. It ships its own, and ours would lie beside our source.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

WRITER = "gradio.component_meta"  # the module that writes them, by the function that follows
WRITING = "create_or_modify_pyi"


def write_no_stubs() -> None:
    """Have Gradio write none from now on, whether it has been imported yet or not."""
    if WRITER in sys.modules:
        _silence(sys.modules[WRITER])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _silence(module: ModuleType) -> None:
    # Where a later Gradio does it in another way, it only starts as slowly as before.
    if hasattr(module, WRITING):
        setattr(module, WRITING, lambda *_, **__: None)


class _Finder(MetaPathFinder):
    """Finds that one module. Naming it sooner would import all of Gradio, and define everything."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != WRITER:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _silence(module)
