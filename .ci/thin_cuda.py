"""Thin a CUDA library out for one card: `python3 .ci/thin_cuda.py IN OUT [ARCHITECTURE]`.

ONNX Runtime's wheel for GPUs is 244 MiB, four times what a lent machine takes in one call, because
it holds each kernel for six kinds of cards. Those for the others are overwritten with zeros, which
compress to nothing; the file keeps its layout. Only to carry it there: never to ship.
"""

import struct
import subprocess
import sys
from pathlib import Path

HOPPER = 90
CONTAINER = 0xBA55ED50  # how a fat binary begins: magic, version, size of this head and behind it
CUBIN, PTX = 2, 1


def thin(data: bytearray, start: int, end: int, wanted: int) -> int:
    """Zero the programs for other cards in `data[start:end]`; return how many bytes."""
    zeroed, at = 0, start
    while at < end - 16:
        magic, _, head, size = struct.unpack_from("<IHHQ", data, at)
        if magic != CONTAINER:
            at += 8
            continue
        programs, entry = [], at + head
        while entry < at + head + size:
            kind, _, own, length = struct.unpack_from("<HHIQ", data, entry)
            (architecture,) = struct.unpack_from("<I", data, entry + 28)
            programs.append((kind, architecture, entry + own, length))
            entry += own + length
        fitting = [p for p in programs if p[0] == CUBIN and p[1] == wanted]
        kept = fitting or [p for p in programs if p[0] == PTX] or programs
        for program in programs:
            if program not in kept:
                _, _, where, length = program
                data[where : where + length] = bytes(length)
                zeroed += length
        at += head + size
    return zeroed


def main() -> None:
    """Find the section that holds the programs, by `readelf`, and thin it out."""
    source, target, *rest = sys.argv[1:]
    sections = subprocess.run(
        ["readelf", "-SW", source], capture_output=True, text=True, check=True
    ).stdout
    line = next(line for line in sections.splitlines() if " .nv_fatbin " in line)
    offset, size = (int(word, 16) for word in line.split("]")[1].split()[3:5])
    data = bytearray(Path(source).read_bytes())
    zeroed = thin(data, offset, offset + size, int(rest[0]) if rest else HOPPER)
    Path(target).write_bytes(data)
    sys.stdout.write(f"{zeroed / 2**20:.0f} of {size / 2**20:.0f} MiB zeroed\n")


if __name__ == "__main__":
    main()
