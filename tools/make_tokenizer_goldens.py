#!/usr/bin/env python3
"""Trains the small tokenizers of tests/data/tokenizer and records what the reference packages make of
a few thousand strings. Needs `pip install transformers==5.24.0 tokenizers==0.23.3 sentencepiece protobuf`;
the tests need none of them.

    tools/make_tokenizer_goldens.py tests/data/tokenizer

Writes (a tokenizer that is there already is kept: training breaks some ties by chance):
  llama3/tokenizer.json     byte-level BPE with Llama 3's split regex, special tokens and template
  llama2/tokenizer.json     BPE over characters with byte fallback, as Llama 2's tokenizer.json
  llama2/tokenizer.model    SentencePiece with Llama 2's training settings
  plain/tokenizer.model     SentencePiece that removes extra white space and has no byte fallback
  unigram/tokenizer.*       a Unigram tokenizer.model, and the tokenizer.json that transformers makes of it
  texts.jsonl               the strings, base64
  *.goldens.jsonl           a line a string, or a line a list of ids to decode (see `Goldens`)
  folders.goldens.jsonl     tokenizer.model with files beside it, as transformers' AutoTokenizer reads them
"""

import base64
import io
import json
import pathlib
import random
import shutil
import struct
import sys
import tempfile

import sentencepiece
from tokenizer_texts import LLAMA3_SPECIALS, SENTENCES, all_texts
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

LLAMA3_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def corpus(rng):
    """Sentences, shuffled, often enough for pairs to be frequent, and words at random for variety."""
    words = sorted({w for s in SENTENCES for w in s.split()})
    for _ in range(60):
        yield from rng.sample(SENTENCES, len(SENTENCES))
        yield " ".join(rng.choice(words) for _ in range(30))
        yield " ".join(str(rng.randrange(10 ** rng.randrange(1, 8))) for _ in range(20))


# --------------------------------------------------------------------------------------- trainings


def train_llama3():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_REGEX), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus(random.Random(3)), trainer)
    tokenizer.add_special_tokens(LLAMA3_SPECIALS)
    bos = LLAMA3_SPECIALS[0]
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))])])
    tokenizer.decoder = decoders.ByteLevel()
    spec = json.loads(tokenizer.to_str())
    spec["model"]["ignore_merges"] = True
    return spec


def train_llama2():
    """Vocabulary and merges over characters; the 256 bytes and <unk>, <s>, </s> in front, as in Llama 2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    trainer = trainers.BpeTrainer(vocab_size=700, limit_alphabet=120, show_progress=False)
    tokenizer.train_from_iterator(corpus(random.Random(4)), trainer)
    spec = json.loads(tokenizer.to_str())
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    tokens += sorted(spec["model"]["vocab"], key=spec["model"]["vocab"].get)
    spec["model"].update(vocab={t: i for i, t in enumerate(tokens)}, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    spec["added_tokens"] = [
        {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i, t in enumerate(tokens[:3])]
    spec["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    spec["pre_tokenizer"] = None
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    spec["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    return spec


def train_sentencepiece(**settings):
    model = io.BytesIO()
    sentences = [line for text in corpus(random.Random(5)) for line in text.split("\n") if line]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, normalization_rule_name="identity", num_threads=1, minloglevel=2,
        hard_vocab_limit=True, **dict(dict(model_type="bpe", vocab_size=700), **settings))
    return model.getvalue()


# ------------------------------------------------------------------------------------------ goldens

ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}


def variants(spec, kind):
    """JSON merge patches (RFC 7396) over the base tokenizer.json: the settings that its text does not use."""
    added = spec["added_tokens"]
    top = max(max(spec["model"]["vocab"].values()), max(t["id"] for t in added)) + 1
    more = [dict(ADDED, id=top, content="<tool>", normalized=True), dict(ADDED, id=top + 1, content="<word>", single_word=True),
            dict(ADDED, id=top + 2, content="<left>", lstrip=True, special=True), dict(ADDED, id=top + 3, content="<right>", rstrip=True),
            dict(ADDED, id=top + 4, content="<both>", lstrip=True, rstrip=True, single_word=True)]
    yield "added", {"added_tokens": added + more}
    if kind == "llama3":
        yield "merges", {"model": {"ignore_merges": False}}
        yield "plain", {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True, "pretokenizers": None}}
        split = {"type": "Split", "pattern": {"Regex": r"\p{L}+|\p{N}{1,2}"}, "behavior": "Removed", "invert": True}
        level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}
        yield "invert", {"pre_tokenizer": {"pretokenizers": [split, level]}}
        string = {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False}
        yield "string", {"pre_tokenizer": {"pretokenizers": [string, level]}}
        for behavior in ("Contiguous", "MergedWithPrevious", "MergedWithNext"):
            for invert in (False, True):
                split = {"type": "Split", "pattern": {"Regex": r"\p{L}|(?=1)"}, "behavior": behavior, "invert": invert}
                yield f"split_{behavior}_{invert}", {"pre_tokenizer": {"pretokenizers": [split, level]}}
            yield f"punctuation_{behavior}", {"pre_tokenizer": {"pretokenizers": [{"type": "Punctuation", "behavior": behavior}, level]}}
        yield "punctuation", {"pre_tokenizer": {"pretokenizers": [{"type": "Punctuation"}, level]}}
        for each in (True, False):
            yield f"digits_{each}", {"pre_tokenizer": {"pretokenizers": [{"type": "Digits", "individual_digits": each}, level]}}
        for name, regex in (("begin", "^"), ("end", "$"), ("line", "^ *[^\\n]*$"), ("first", "^."), ("last", "[\\s.]$")):
            split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
            yield f"lines_{name}", {"pre_tokenizer": {"pretokenizers": [split, level]}}
        yield "lowercase", {"normalizer": {"type": "Lowercase"}, "added_tokens": added + more[:1] + [dict(more[1], content="<WORD>", normalized=True)]}
        for left, right in ((True, True), (True, False), (False, True)):
            yield f"strip_{left}_{right}", {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": right}}
        replace = lambda regex, content: {"type": "Replace", "pattern": {"Regex": regex}, "content": content}
        yield "replace", {"normalizer": {"type": "Sequence", "normalizers": [replace(r"\s+", " "), replace("[aeiou]$", "$0>"), replace("b+", "B")]}}
        yield "twice", {"added_tokens": added + more + [dict(ADDED, id=top + 5, content="<left>"), dict(ADDED, id=top + 6, content="<word>", special=True)]}
        # Without the byte C0, which no text has; the package numbers added tokens behind as many as there are.
        yield "hole", {"model": {"vocab": {"À": None, "ÀÀ": 1600}}}
    else:
        for scheme in ("first", "always", "never"):
            for split in (True, False):
                meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}
                yield f"metaspace_{scheme}_{'split' if split else 'whole'}", {"normalizer": None, "pre_tokenizer": meta, "decoder": dict(meta, decoders=None)}
        yield "unknown", {"model": {"byte_fallback": False}}
        yield "unknown_each", {"model": {"byte_fallback": False, "fuse_unk": False}}


def merge_patch(target, patch):
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def b64(data):
    return base64.b64encode(data).decode()


def packed(ids):
    """Ids as base64 of little-endian 16-bit numbers: half the size of a JSON list."""
    return b64(struct.pack(f"<{len(ids)}H", *ids))


class Goldens:
    """Lines of a goldens file (ids of texts and to decode are `packed`):
    {"name", "patch"}    what follows is of the base tokenizer with this merge patch
    {"t", "i"[, "d"]}    text (its line in texts.jsonl), ids without special tokens, decoded text (base64; left out if it is the text)
    {"s": [ids, ids]}    what encoding with special tokens puts before and after, the same for all of the patch's texts
    {"x", "k", "a"}      ids to decode; the text skipping special tokens, and with them ("a" left out if the same)
    {"p", "x", "k"}      ids to decode behind others ("p"): the text of all less that of "p", skipping special tokens
    """

    def __init__(self):
        self.lines = []

    def add(self, **values):
        self.lines.append(json.dumps(values, separators=(",", ":"), ensure_ascii=True))

    def tokenizer(self, name, patch, texts, encode, encode_special, decode, ids_to_decode):
        self.add(name=name, patch=patch)
        letter, special = encode("a"), encode_special("a")
        start = special.index(letter[0])
        around = [special[:start], special[start + len(letter):]]
        for number, raw in texts:
            text = raw.decode("utf-8", "replace")
            ids = encode(text)
            assert encode_special(text) == around[0] + ids + around[1], text
            decoded = decode(ids, True)
            case = {"t": number, "i": packed(ids)}
            if decoded.encode() != raw:
                case["d"] = b64(decoded.encode())
            self.add(**case)
        self.add(s=around)
        for ids in ids_to_decode:
            skipped, kept = decode(ids, True), decode(ids, False)
            case = {"x": packed(ids), "k": b64(skipped.encode())}
            if kept != skipped:
                case["a"] = b64(kept.encode())
            self.add(**case)

    def continuations(self, texts, encode_special, decode):
        """The ids of texts, cut where the text of the first part begins that of all."""
        for _, raw in texts:
            ids = encode_special(raw.decode("utf-8", "replace"))
            whole = decode(ids, True)
            if "\ufffd" in whole:
                continue
            for cut in (1, 2, len(ids) // 2, len(ids) - 1):
                before = decode(ids[:cut], True)
                if 0 < cut < len(ids) and whole.startswith(before) and "\ufffd" not in before:
                    self.add(p=packed(ids[:cut]), x=packed(ids[cut:]), k=b64(whole[len(before):].encode()))

    def write(self, path):
        path.write_text("\n".join(self.lines) + "\n")


def random_ids(rng, count, size, likely):
    """Lists of ids, half of them from `likely`: bytes and special tokens, which decode in the oddest ways."""
    for _ in range(count):
        yield [rng.choice(likely) if rng.random() < 0.5 else rng.randrange(size) for _ in range(rng.randrange(1, 12))]


def json_goldens(spec, kind, texts, out):
    rng = random.Random(7)
    goldens = Goldens()
    size = max(max(spec["model"]["vocab"].values()), max(t["id"] for t in spec["added_tokens"])) + 1
    likely = list(range(256)) + [t["id"] for t in spec["added_tokens"]] * 4
    if kind == "llama2":
        likely = list(range(3)) * 10 + [3 + b for b in "é€🙂\xff\n".encode()] * 12 + [spec["model"]["vocab"]["▁"]] * 20
    for name, patch in [("base", {})] + list(variants(spec, kind)):
        if kind == "llama2":
            chosen = texts[::6] if name == "base" else texts[(len(name) % 5)::61]
        else:
            chosen = texts if name == "base" else texts[(len(name) % 5)::29]
        if name.split("_")[0] in ("split", "punctuation", "digits", "lines", "lowercase", "strip", "replace", "hole"):
            chosen = texts[(len(name) % 5)::173] + texts[-45::2 if name == "lowercase" else 9]
        if name in ("added", "twice"):
            chosen = [t for t in texts if b"<" in t[1]][:: 1 if name == "added" else 5]
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(spec, patch)))
        if name == "hole":
            likely = [spec["model"]["vocab"]["À"], 1555] * 50 + likely
        goldens.tokenizer(
            name, patch, chosen, lambda t: tokenizer.encode(t, add_special_tokens=False).ids, lambda t: tokenizer.encode(t).ids,
            lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip),
            random_ids(rng, {"base": 200, "hole": 60}.get(name, 20 if len(chosen) > 60 else 4), size, likely))
        if name == "base" or name.startswith("metaspace"):
            goldens.continuations(chosen[::40 if name == "base" else 6], lambda t: tokenizer.encode(t).ids, lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip))
    goldens.write(out)


def sentencepiece_goldens(model, texts, out):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    goldens = Goldens()
    likely = list(range(3)) * 20 + [3 + b for b in "é€🙂\xff\n".encode()] * 12 + [processor.piece_to_id("▁")] * 30
    # The package prints control pieces as nothing; there is no reference for keeping them.
    decode = lambda ids, skip: processor.decode(ids)
    goldens.tokenizer("base", {}, texts, processor.encode, lambda t: [processor.bos_id()] + processor.encode(t), decode,
                      random_ids(random.Random(8), 150, processor.get_piece_size(), likely))
    goldens.continuations(texts[::16], lambda t: [processor.bos_id()] + processor.encode(t), decode)
    goldens.write(out)


FOLDER_TEXTS = [
    "Once", "<s>Once upon", "a</s> b", "a</s>b</s>", "<|im_start|>user\nhi there<|im_end|>\n<|im_start|>assistant\n", "x <unk> y", "a <pad> b",
    "<s> [INST] hi [/INST] yes </s><s>[INST] more [/INST]", "", "the<|im_end|> worker", "<|im_end|>  worker", "so <left> we <right> see",
    "aword word <word> b", "<s", "</s><s></s>", "a</s>▁b", "é<|im_start|>é", "<|im_start|><|im_start|>a",
]


def folder_goldens(model, out):
    """For each folder {"name", "files"}, then {"text", "ids"[, "kept", "skipped"]} without BOS and EOS, then {"s"} as in `Goldens`.

    Decoded texts are left out where the two ways to print a text's start differ. BOS is added by default only by older versions."""
    token = lambda content, **more: dict(dict(content=content, lstrip=False, normalized=False, rstrip=False, single_word=False, special=True), **more)
    decoder = {"0": token("<unk>"), "1": token("<s>"), "2": token("</s>"), "700": token("<|im_start|>"),
               "701": token("<|im_end|>", special=False, normalized=True), "702": token("<pad>"), "703": token("<left>", lstrip=True),
               "704": token("<right>", rstrip=True, special=False), "705": token("<word>", single_word=True)}
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True, "add_eos_token": False}
    llama = dict(names, tokenizer_class="LlamaTokenizer")
    encoder = {"<|im_start|>": 700, "<|im_end|>": 701, "<pad>": 702}
    folders = {
        "control": {"tokenizer_config.json": llama},
        "control_no_class": {"tokenizer_config.json": names},
        "decoder": {"tokenizer_config.json": dict(llama, added_tokens_decoder=decoder)},
        "decoder_legacy": {"tokenizer_config.json": dict(llama, legacy=True, add_eos_token=True, added_tokens_decoder=decoder)},
        "decoder_no_class": {"tokenizer_config.json": dict(names, added_tokens_decoder=decoder)},
        "decoder_not_older": {"tokenizer_config.json": dict(llama, added_tokens_decoder=decoder), "added_tokens.json": {"Once": 706}},
        "added": {"tokenizer_config.json": dict(llama, pad_token="<pad>", additional_special_tokens=["<|im_end|>"]), "added_tokens.json": encoder},
        "added_map": {"tokenizer_config.json": llama, "added_tokens.json": encoder,
                      "special_tokens_map.json": {"pad_token": {"content": "<pad>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}}},
    }
    goldens = Goldens()
    for name, files in folders.items():
        with tempfile.TemporaryDirectory() as path:
            folder = pathlib.Path(path)
            (folder / "tokenizer.model").write_bytes(model)
            (folder / "config.json").write_text('{"model_type": "llama"}')
            for file, content in files.items():
                (folder / file).write_text(json.dumps(content))
            tokenizer = AutoTokenizer.from_pretrained(folder)
        goldens.add(name=name, files=files)
        for text in FOLDER_TEXTS:
            ids = tokenizer(text, add_special_tokens=False).input_ids
            around = tokenizer(text).input_ids
            bos, eos = [1], [2] if files["tokenizer_config.json"]["add_eos_token"] else []
            assert around == bos + ids + eos, (name, text)
            case = {"text": text, "ids": ids}
            if text[:1] in "aOtx":
                skipped = tokenizer.decode([i for i in ids if i != 0], skip_special_tokens=True)
                case.update(plain=[i for i in ids if i != 0], skipped=skipped)
            goldens.add(**case)
        goldens.add(s=[bos, eos])
    goldens.write(out)


def unigram_goldens(folder, texts, out):
    """The tokenizer.json of a Unigram model, as the `tokenizers` package runs it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    goldens = Goldens()
    goldens.tokenizer("base", {}, texts, lambda t: tokenizer.encode(t, add_special_tokens=False).ids, lambda t: tokenizer.encode(t).ids,
                      lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip), [])
    goldens.write(out)


def train_unigram(folder):
    """A Unigram tokenizer.model, and a tokenizer.json with a template and an added token."""
    model = train_sentencepiece(model_type="unigram", vocab_size=700, byte_fallback=True, remove_extra_whitespaces=False, character_coverage=0.98)
    (folder / "tokenizer.model").write_bytes(model)
    with tempfile.TemporaryDirectory() as path:
        shutil.copy(folder / "tokenizer.model", path)
        (pathlib.Path(path) / "config.json").write_text('{"model_type": "llama"}')
        spec = json.loads(AutoTokenizer.from_pretrained(path)._tokenizer.to_str())
    spec["added_tokens"].append(dict(ADDED, id=700, content="<|im_end|>", special=True))
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in (("<s>", 1), ("</s>", 2))}}
    (folder / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    out = pathlib.Path(sys.argv[1])
    texts = all_texts()
    for folder in ("llama3", "llama2", "plain", "unigram"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    (out / "texts.jsonl").write_text("".join(json.dumps(b64(t)) + "\n" for t in texts))
    numbered = list(enumerate(texts))
    for kind, train in (("llama3", train_llama3), ("llama2", train_llama2)):
        path = out / kind / "tokenizer.json"
        if not path.exists():
            path.write_text(json.dumps(train(), ensure_ascii=False, separators=(",", ":")) + "\n")
        json_goldens(json.loads(path.read_text()), kind, numbered, out / f"{kind}.goldens.jsonl")
    # The package does not look for control pieces in a text; folder_goldens has those.
    without_control = lambda chosen: [t for t in chosen if not any(c in t[1] for c in (b"<s>", b"</s>", b"<unk>"))]
    llama2 = out / "llama2" / "tokenizer.model"
    if not llama2.exists():
        llama2.write_bytes(train_sentencepiece(
            byte_fallback=True, split_digits=True, add_dummy_prefix=True, remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
            character_coverage=0.98))
    sentencepiece_goldens(llama2.read_bytes(), without_control(numbered[1::7]), out / "sentencepiece.goldens.jsonl")
    folder_goldens(llama2.read_bytes(), out / "folders.goldens.jsonl")
    plain = out / "plain" / "tokenizer.model"
    if not plain.exists():
        plain.write_bytes(train_sentencepiece(byte_fallback=False, remove_extra_whitespaces=True, character_coverage=0.99))
    sentencepiece_goldens(plain.read_bytes(), without_control(numbered[2::31]), out / "sentencepiece_plain.goldens.jsonl")
    if not (out / "unigram" / "tokenizer.json").exists():
        train_unigram(out / "unigram")
    unigram_goldens(out / "unigram", numbered[3::23], out / "unigram.goldens.jsonl")
    print(f"{len(texts)} strings")


if __name__ == "__main__":
    main()
