"""The sentences and strings that tools/make_tokenizer_goldens.py trains on and encodes: every script, odd white space, emoji,
ill-formed UTF-8, what spells a token. Deterministic."""

import random
import unicodedata

LLAMA3_SPECIALS = [
    "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>", "<|reserved_special_token_2|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
]

SENTENCES = [
    "The worker sees what crosses the link, and the runner counts every byte of it.",
    "It's a small text, but we've got what we need: they'll read it, I'd say, and you're done. Don't worry.",
    "There are 1024 tokens in 16 layers, 32 heads of 64 each, and 3.14159 is not an integer; 2^31 - 1 is.",
    "for (int i = 0; i < n; ++i) {\n    sum += weights[i] * inputs[i];  // accumulate\n}\n",
    "def softmax(x):\n\treturn [math.exp(v - max(x)) for v in x]\n\nprint(softmax([1.0, 2.0, 3.0]))\n",
    "Der schnelle Läufer überquert die Brücke, während die Übrigen am Fluss warten; größer ist schöner.",
    "Le garçon a mangé une crêpe près de la forêt, où l'été n'est jamais fini. Ça va très bien, merci.",
    "El niño pequeño corrió mañana por la montaña; ¿quién sabe dónde está el camino? ¡Qué lástima!",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy. Árvíztűrő tükörfúrógép.",
    "Быстрая лисица прыгает через ленивую собаку, а потом отдыхает под старым деревом у реки.",
    "Η γρήγορη αλεπού πηδάει πάνω από το τεμπέλικο σκυλί και μετά κοιμάται κάτω από το δέντρο.",
    "הילד הולך לבית הספר בבוקר וחוזר הביתה בערב עם החברים שלו.",
    "يذهب الولد إلى المدرسة في الصباح ويعود إلى البيت في المساء مع أصدقائه.",
    "लड़का सुबह विद्यालय जाता है और शाम को अपने मित्रों के साथ घर लौटता है।",
    "ছেলেটি সকালে বিদ্যালয়ে যায় এবং সন্ধ্যায় বাড়ি ফিরে আসে।",
    "เด็กชายไปโรงเรียนในตอนเช้าและกลับบ้านในตอนเย็นกับเพื่อนของเขา",
    "男孩早上去学校,晚上和朋友们一起回家。今天的天气很好,我们去公园散步吧。",
    "少年は朝学校へ行き、夕方に友達と家へ帰ります。カタカナとひらがなと漢字。",
    "소년은 아침에 학교에 가고 저녁에 친구들과 함께 집으로 돌아옵니다.",
    "Cậu bé đi học vào buổi sáng và trở về nhà vào buổi tối cùng bạn bè của mình.",
    "Çocuk sabah okula gider ve akşam arkadaşlarıyla birlikte eve döner; İstanbul'da ılık bir gün.",
    "🙂 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️ — emoji with joiners, flags and variation selectors 🚀🚀",
    "{\"name\": \"model\", \"shape\": [2048, 8192], \"dtype\": \"bf16\", \"tied\": true, \"scale\": null}",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n\n* item one\n* item two\n    * nested item\n",
]


def script_samples(rng):
    """Short runs of letters, marks, digits and signs from every part of Unicode that has characters."""
    step = 0x80
    for start in range(0, 0x20000, step):
        assigned = [chr(c) for c in range(start, start + step) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")]
        if not assigned or (start > 0x3400 and start < 0xD700 and start % 0x1000) or (0x12000 <= start < 0x1B000 and start % 0x400):
            continue
        yield "".join(rng.choice(assigned) for _ in range(rng.randrange(2, 9)))
        yield " ".join("".join(rng.choice(assigned) for _ in range(3)) for _ in range(2))
    for start in (0x20000, 0x2A700, 0x2B739, 0x2EBF0, 0x30000, 0x31350, 0xE0000, 0xE0100, 0xF0000, 0x10FFFD):
        yield chr(start) + "x" + chr(start + 2 if start < 0x10FFFD else start) + "1"


def newer_than_unicode_14(rng):
    """Characters that Unicode 15 and 16 added: letters, digits, marks, signs."""
    new = [0x1C89, 0xA7CB, 0xA7DA, 0x105C0, 0x10D40, 0x10D4A, 0x10D69, 0x11380, 0x113B8, 0x116D0, 0x11BC0, 0x11BF0,
           0x11F02, 0x11F50, 0x13460, 0x16100, 0x16130, 0x16D40, 0x16D70, 0x1CCF0, 0x1D2C0, 0x1DF25, 0x1E030, 0x1E4D0,
           0x1E4F0, 0x1E5D0, 0x1E5F1, 0x2B739, 0x2EBF0, 0x31350, 0x1FADC, 0x0CF3, 0x0897]
    for c in new:
        yield f"a{chr(c)}b 1{chr(c)}2 {chr(c)}! {chr(c)}{chr(c)}"


def emoji(rng):
    bases = "😀😂🥰🤔👍👎👋🙏👩👨🧑👧👦🐶🌍🔥✨❤☀⌚#*0️"
    tones = ["", "\U0001F3FB", "\U0001F3FD", "\U0001F3FF"]
    fixed = ["👩‍👩‍👧‍👦", "👨‍💻", "🏳️‍🌈", "🏴‍☠️", "🏴\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F", "👁️‍🗨️", "1️⃣2️⃣#️⃣", "🇩🇪🇫🇷🇯🇵",
             "🇩", "🧑🏽‍🤝‍🧑🏻", "❤️‍🔥", "☺︎☺️", "‍‍‍", "👩‍", "‍👩"]
    yield from fixed
    for f in fixed:
        yield f"text {f} and {f}{f}\n"
    for _ in range(60):
        yield "".join(rng.choice(bases) + rng.choice(tones) + rng.choice(["", "\u200d", "\ufe0f", " "]) for _ in range(rng.randrange(1, 6)))


SPACES = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u180e\u2000\u2003\u2009\u200a\u200b\u200c\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"


def white_space(rng):
    for s in SPACES:
        yield s
        yield s * 2 + "a"
        yield f"a{s}b {s}c{s} d{s}{s}1{s}"
        yield f"!{s}{s}?{s}\n{s}x"
    for n in list(range(1, 20)) + [31, 32, 33, 64, 100, 300]:
        yield " " * n
        yield "a" + " " * n + "b"
        yield "\n" * n
        yield " " * n + "\n" + " " * (n // 2) + "end"
    for n in (3, 40, 200):
        yield "\t" * n + "x"
        yield "\r\n" * n + "x"
        yield "a" * n
        yield "." * n + "\n\n"
        yield "1" * n
        yield "' " * n
        yield "\u00a0" * n
        yield "é" * n
        yield "🙂" * n
    for _ in range(150):
        yield "".join(rng.choice("  \n\t\r" + rng.choice(SPACES) + "ab1.") for _ in range(rng.randrange(1, 24)))


def control(rng):
    for c in list(range(0, 32)) + list(range(127, 160)):
        yield chr(c)
        yield f"a{chr(c)}b"
    yield "".join(map(chr, range(0, 256)))
    yield "".join(map(chr, range(127, 160))) * 2
    yield "\x00" * 20
    yield "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufff9\ufffa\ufffb\ufffc\ufffd\ufffe\uffff"


def numbers(rng):
    for _ in range(80):
        yield rng.choice(["", " ", "-", "$", "a"]) + str(rng.randrange(10 ** rng.randrange(1, 15)))
    yield from ["3.14159", "1,234,567.89", "0x1F600", "1e-10", "1/2", "²³¹", "½¾", "ⅣⅫ", "①②③", "١٢٣٤٥", "१२३४", "一二三", "1 2  3   4",
                "12:34:56", "2024-01-31T00:00:00Z", "v1.2.3", "100%", "#1", "1st 2nd 3rd", "A4", "4x4", "𝟘𝟙𝟚𝟛"]


def contractions(rng):
    suffixes = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'M", "'lL", "'D", "'ſ", "'x", "'", "''s", "’s", "'st", "'réal",
                "'veil", "'llama", "'K", "'ß", "'ﬆ"]
    for s in suffixes:
        yield "it" + s
        yield s
        yield f"1{s} é{s}\n{s} {s}"


def invalid_utf8(rng):
    yield from [b"\x80", b"\xff", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf0\x80\x80\x80",
                b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfe\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xf0\x9f",
                b"abc\xe2\x82", b"\xe2\x82abc", b"\xf0\x9f\x98a\xf0\x9fb\xf0c", b"\xe2\x28\xa1", b"\xf0\x28\x8c\xbc", b"\xf0\x90\x28\xbc",
                b"\xc3\xc3\xa9", b"\xe2\xe2\x82\xac", b"\xf0\xf0\x9f\x98\x80", b"\x80\x80\x80\x80", b"caf\xe9", b"na\xefve \xfcber"]
    for _ in range(120):
        yield bytes(rng.randrange(256) for _ in range(rng.randrange(1, 16)))
    for _ in range(120):
        text = bytearray(rng.choice(SENTENCES).encode())
        begin = rng.randrange(len(text) - 12)
        text = text[begin:begin + rng.randrange(4, 40)]
        for _ in range(rng.randrange(0, 3)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        yield bytes(text)


def special_text(rng):
    names = LLAMA3_SPECIALS + ["<s>", "</s>", "<unk>", "<0x0A>", "<0xE2>", "▁", "▁▁a", "<tool>", "<word>", "<left>", "<right>", "<both>"]
    for n in names:
        yield n
        yield f"a{n}b"
        yield f"  {n}  {n}\n{n}"
        yield n[:-1] + " " + n[1:]
        yield n + n[:-1] + n + n[-1]
    yield "<|<|eot_id|>|>"
    yield "<|EOT_ID|>"
    yield "<|start_header_id|>user<|end_header_id|>\n\nHello there!<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    yield "<|begin_of_text|>" * 3
    for _ in range(60):
        yield "".join(rng.choice(names + [" ", "  ", "x", "\n", "é", "<|", "|>", "_"]) for _ in range(rng.randrange(1, 7)))


def mixtures(rng):
    alphabet = "".join(SENTENCES) + SPACES + "'''  \n\n" + "αβγδЖЩքსअ한글漢字かな٣८½²"
    for _ in range(480):
        yield "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 28)))
    for s in SENTENCES:
        yield s
        yield s.upper()
        yield s.replace(" ", "  ")
        yield unicodedata.normalize("NFD", s)
        yield s[::-1]
    for _ in range(80):
        s = rng.choice(SENTENCES)
        begin = rng.randrange(len(s) - 10)
        yield s[begin:begin + rng.randrange(1, 60)]


def cases_and_lines(rng):
    for start in (0x40, 0xC0, 0x100, 0x180, 0x1C0, 0x370, 0x400, 0x530, 0x10A0, 0x13A0, 0x1C80, 0x1E00, 0x1F00, 0x2100, 0x2160, 0x24B0, 0x2C00,
                  0xA640, 0xA720, 0xA7A0, 0xFF20, 0x10400, 0x104B0, 0x10570, 0x10C80, 0x10D50, 0x118A0, 0x16E40, 0x1E900):
        yield "".join(map(chr, range(start, start + 0x60)))
    yield from ["İI ıi ſ ẞß ΑΣ ΑΣ. ǅǄǆ", "a\nb\n\nc\n", "\n", "\n\n\n", "a\r\nb\r\n", "x\n \ny ", "1a22 333b4444", "a,b;;c -- d!!?", "«a» ¿b? —c—"]
    yield "".join(chr(c) for c in range(0x2000, 0x2070))
    yield "".join(chr(c) for c in range(0x2E00, 0x2E60))
    yield "".join(chr(c) for c in range(0x3000, 0x3040))


def all_texts():
    rng = random.Random(20)
    texts = [b""]
    for part in (mixtures, script_samples, newer_than_unicode_14, emoji, white_space, control, numbers, contractions, invalid_utf8, special_text, cases_and_lines):
        texts += [t if isinstance(t, bytes) else t.encode("utf-8", "surrogatepass") for t in part(rng)]
    return list(dict.fromkeys(texts))
