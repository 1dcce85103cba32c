#!/usr/bin/env python3
"""Writes tests/data/chat/*.golden: what transformers and jinja2 render of every template there.

Usage: tools/make_chat_goldens.py   (needs the packages transformers and jinja2)

expressions.txt holds small templates, one a line, rendered without messages. A golden holds a line of JSON for each conversation of conversations.json: the text, {"raise": text}
where the template raised its own exception, {"error": type} where anything else went wrong. A
template that does not compile has {"error": ...} too. The clock stands still.
"""
import datetime
import json
import pathlib

import jinja2
from transformers.utils import chat_template_utils as chat

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "chat"
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 5, 14, 7, 9)


def render(template, conversation):
    try:
        messages = chat._normalize_chat_messages(conversation["messages"])
        rendered, _ = chat.render_jinja_template(
            [messages], tools=conversation.get("tools"), documents=conversation.get("documents"),
            chat_template=template,
            add_generation_prompt=conversation.get("add_generation_prompt", True),
            **{**SPECIAL_TOKENS, **conversation.get("variables", {})})
        return rendered[0]
    except jinja2.exceptions.TemplateError as error:
        if type(error) is jinja2.exceptions.TemplateError:
            return {"raise": str(error)}
        return {"error": type(error).__name__}
    except Exception as error:  # whatever Python raises
        return {"error": type(error).__name__}


def write(path, lines):
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.with_suffix(".golden").write_text(text)


def main():
    chat.datetime = Clock
    conversations = json.loads((FOLDER / "conversations.json").read_text())
    for path in sorted(FOLDER.glob("*.jinja")):
        template = path.read_text()
        lines = [render(template, conversation) for conversation in conversations]
        write(path, lines)
    path = FOLDER / "expressions.txt"
    write(path, [render(line, {"messages": []}) for line in path.read_text().splitlines()])


main()
