"""Finds the `az` commands in documents, in shell scripts, and in the messages of the sample."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from itertools import groupby

VALUE = 'value'  # stands for what the reader, the shell or the script puts there

_BLOCK = re.compile(r'^```\w*\n(.*?)^```', re.MULTILINE | re.DOTALL)
_AZ = re.compile(r'\baz [a-z]')
_BLANK = re.compile(r'<[^<>\n]+>')  # <what the reader puts there>
_SUBSHELL = re.compile(r'\$\(([^()]*)\)')
_QUOTED = re.compile(r'["`](az [^"`]*)["`]')  # in a sentence
_LINE = re.compile(r'^\s*(az [a-z].*)')  # nothing else is on it
_UNQUOTED = re.compile(r'\s(az [a-z].*?)(?:, |[.:;](?: |$)|$)')  # in a sentence, which goes on
_OPTION = re.compile(r'--?[a-z]')

Command = list[str]  # its words, without `az`


def in_document(markdown: str) -> list[Command]:
    """The commands of all blocks, and those in backquotes between them."""
    texts = _BLOCK.findall(markdown) + _QUOTED.findall(_BLOCK.sub('', markdown))
    return [command for text in texts for command in in_shell(text)]


def in_shell(script: str) -> list[Command]:
    """The commands of a shell script, or of the steps of a workflow."""
    lines = script.replace('\\\n', ' ').splitlines()
    return [command for line in lines if _AZ.search(line) for command in in_shell_line(line)]


def in_messages(source: str) -> list[Command]:
    """The commands in all string literals of a Python script."""
    tree = ast.parse(source)
    options = _options_by_name(tree, {})
    options = _options_by_name(tree, options)  # some are made of others
    found = []
    for literal in _literals(tree):
        for line in _text(literal, options).splitlines():
            for text in _LINE.findall(line) or _QUOTED.findall(line) or _UNQUOTED.findall(line):
                found += in_shell_line(text)
    return found


def in_shell_line(line: str) -> list[Command]:
    """The commands of one line, those in $(...) first. ValueError if it cannot be read."""
    line = _BLANK.sub(VALUE, line)
    found = []
    while inner := _SUBSHELL.search(line):
        found += in_shell_line(inner[1])
        line = f'{line[: inner.start()]}{VALUE}{line[inner.end() :]}'

    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for is_operator, words in groupby(lexer, _is_operator):
        command = list(words)
        if not is_operator and 'az' in command:
            found.append(command[command.index('az') + 1 :])
    return found


def _is_operator(word: str) -> bool:
    return set(word) <= set('();<>|&')


# The script


def _literals(tree: ast.AST) -> Iterator[ast.JoinedStr | ast.Constant]:
    """All texts; of an f-string only the whole."""
    if isinstance(tree, ast.JoinedStr):
        yield tree
        return
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree
    for child in ast.iter_child_nodes(tree):
        yield from _literals(child)


def _text(literal: ast.JoinedStr | ast.Constant, options: dict[str, str]) -> str:
    """The text, with options or a value where a placeholder is."""
    if isinstance(literal, ast.Constant):
        return str(literal.value)
    text = ''
    for part in literal.values:
        if isinstance(part, ast.FormattedValue):
            text += options.get(_name(part.value), VALUE)
        elif isinstance(part, ast.Constant):
            text += str(part.value)
    return text


def _name(expression: ast.expr) -> str:
    """Of a variable, or of the function that is called; '' if it is something else."""
    if isinstance(expression, ast.Call):
        expression = expression.func
    return expression.id if isinstance(expression, ast.Name) else ''


def _options_by_name(tree: ast.AST, known: dict[str, str]) -> dict[str, str]:
    """For each variable and function the options that are written where it is defined, if any.

    All of them, whatever condition one stands under: az must know each.
    """
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            name = node.name
        elif isinstance(node, ast.Assign):
            name = _name(node.targets[0])
        elif isinstance(node, ast.AugAssign):
            name = _name(node.target)
        else:
            continue
        for literal in _literals(node):
            text = _text(literal, known).strip()
            if _OPTION.match(text):
                found[name] = f'{found.get(name, "")} {text}'
    return found
