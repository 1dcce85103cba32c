"""The text the demo model is trained on, and the part of it that is held out.

Jane Austen's six novels (1811-1818, public domain), from the Debian package r-cran-janeaustenr
(package: MIT; texts from Project Gutenberg, public domain). The texts are not committed, but for
the last chapters of "Persuasion", which no training step sees: tests/data/heldout.
"""

import pathlib
import re
import struct
import subprocess
import tempfile
import warnings
import zlib

PACKAGE = "r-cran-janeaustenr"
NOVELS = ["sensesensibility", "prideprejudice", "mansfieldpark", "emma", "northangerabbey",
          "persuasion"]
HELD_OUT_NOVEL = "persuasion"
HELD_OUT_BYTES = 50_000


def _read_package(folder: pathlib.Path) -> dict[str, list[str]]:
    """Lines of each novel. R keeps lazy data as an index (.rdx) of offsets into a file of
    chunks (.rdb): a big-endian length, then a zlib stream of R's serialization."""
    import rdata

    warnings.filterwarnings("ignore", module="rdata")
    base = folder / "usr/lib/R/site-library/janeaustenr/data"

    def parse(data: bytes):
        return rdata.conversion.convert(rdata.parser.parse_data(data))

    index = parse(zlib.decompress((base / "Rdata.rdx").read_bytes(), wbits=47))
    chunks = (base / "Rdata.rdb").read_bytes()
    novels = {}
    for name, (offset, length) in index["variables"].items():
        chunk = chunks[int(offset):int(offset) + int(length)]
        data = zlib.decompress(chunk[4:])
        assert len(data) == struct.unpack(">I", chunk[:4])[0], name
        novels[str(name)] = [str(line) for line in parse(data)]
    return novels


def _paragraphs(lines: list[str]) -> str:
    """One paragraph a line: the books wrap at 70 columns and mark emphasis by underscores."""
    text = "\n".join(line.rstrip() for line in lines).replace("_", "")
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    return "\n".join(part for part in parts if part and part != "FINIS") + "\n"


def novels() -> dict[str, str]:
    """Every novel, one paragraph a line, from the package as apt has it (nothing is installed)."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deb = next(pathlib.Path(folder).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
        lines = _read_package(pathlib.Path(folder))
    return {name: _paragraphs(lines[name]) for name in NOVELS}


def split(texts: dict[str, str]) -> tuple[list[str], str]:
    """(training texts, held-out text): whole paragraphs, the last 50 KB of one novel held out."""
    whole = texts[HELD_OUT_NOVEL]
    cut = whole.index("\n", len(whole) - HELD_OUT_BYTES) + 1
    training = [text if name != HELD_OUT_NOVEL else whole[:cut] for name, text in texts.items()]
    return training, whole[cut:]
