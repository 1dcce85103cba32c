#!/usr/bin/env python3
"""Writes src/airlock/chat/unicode_tables.inc: what Python's str methods know of Unicode.

Usage: tools/make_unicode_tables.py   (no packages; the tables are those of the Python that runs it)
"""
import pathlib
import sys
import unicodedata

POINTS = [p for p in range(sys.maxunicode + 1) if not 0xD800 <= p <= 0xDFFF]


def emit(out, name, kind, rows):
    out.append(f"constexpr {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        text = " {" + ", ".join(hex(x) if x >= 10 else str(x) for x in row) + "},"
        if len(line) + len(text) > 100:
            out.append(line)
            line = "   "
        line += text
    out.append(line)
    out.append("};")


def ranges(test):
    """What passes the test, as {first, last, stride}: capitals often alternate with small letters."""
    found = []
    for p in POINTS:
        if not test(chr(p)):
            continue
        if found:
            first, last, stride = found[-1]
            if (first == last and p - last <= 2) or (first != last and p - last == stride):
                found[-1] = [first, p, p - last]
                continue
        found.append([p, p, 1])
    return found


def mappings(function, base):
    """Where `function` is not `base`: one character as {first, last, stride, delta}, more apart."""
    found, special = [], []
    for p in POINTS:
        mapped = function(chr(p))
        if mapped == base(chr(p)):
            continue
        if len(mapped) > 1:
            special.append([p] + [ord(c) for c in mapped] + [0] * (3 - len(mapped)))
            continue
        delta = ord(mapped) - p
        if found and found[-1][3] == delta:
            first, last, stride, _ = found[-1]
            if first == last and p - last <= 2:
                found[-1][1:3] = [p, p - last]
                continue
            if first != last and p - last == stride:
                found[-1][1] = p
                continue
        found.append([p, p, 1, delta])
    return found, special


def main():
    out = [f"// Made by tools/make_unicode_tables.py from Unicode {unicodedata.unidata_version}.",
           "// clang-format off"]
    for name, function, base in (("kLower", str.lower, str), ("kUpper", str.upper, str),
                                 ("kTitle", str.title, str.upper)):
        rows, special = mappings(function, base)
        emit(out, name, "CaseRange", rows)
        emit(out, name + "Long", "LongCase", special)
    for name, test in (("kPrintable", lambda c: c.isprintable()), ("kAlpha", str.isalpha),
                       ("kDecimal", str.isdecimal), ("kDigit", str.isdigit),
                       ("kNumeric", str.isnumeric), ("kLowercase", str.islower),
                       ("kUppercase", str.isupper),
                       ("kTitlecase", lambda c: unicodedata.category(c) == "Lt"),
                       ("kCaseIgnorable", case_ignorable)):
        emit(out, name, "CodeRange", ranges(test))
    path = pathlib.Path(__file__).resolve().parent.parent / "src/airlock/chat/unicode_tables.inc"
    path.write_text("\n".join(out) + "\n")


def case_ignorable(c):
    """As the final sigma sees it: what stands between two letters without parting them."""
    return ("a" + c + "\u03a3").lower()[-1] == "\u03c2" and not (c + "\u03a3").lower()[-1] == "\u03c2"


main()
