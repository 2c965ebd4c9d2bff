"""Validators of free-text answers.

Each returns a sentence that says what is wrong and what to do, or "" if the answer is valid.
"""

from __future__ import annotations

import re
from datetime import date

from jinja2 import Environment
from jinja2.ext import Extension

MAX_NAME = 80
MAX_DESCRIPTION = 2000
EMAIL = re.compile(r"""[^\s@<>()\[\],;:\\"]+@[^\s@<>()\[\],;:\\"]+""")


def text_problem(text: str, limit: int = MAX_DESCRIPTION) -> str:
    """Any text that can be stored: not too long, and valid Unicode."""
    if any("\ud800" <= c <= "\udfff" for c in text):
        return "The text contains bytes that are not valid UTF-8. Type it again."
    if len(text) > limit:
        return f"The text has {len(text)} characters; at most {limit} are allowed. Shorten it."
    return ""


def line_problem(text: str, limit: int = MAX_NAME) -> str:
    """One line of printable text; may be empty."""
    if problem := text_problem(text, limit):
        return problem
    if not text.isprintable():
        return "Line breaks, tabs and invisible characters are not allowed. Use one plain line."
    return ""


def project_name_problem(name: str) -> str:
    """One line of printable text with at least one visible character."""
    if not name.strip():
        return "A project needs a name. Enter one, for example: Forest Watch"
    if name != name.strip():
        return f"The name starts or ends with a space. Use '{name.strip()}'."
    return line_problem(name)


def email_problem(address: str) -> str:
    """An email address, or nothing."""
    if address and not EMAIL.fullmatch(address):
        return f"'{address}' is not an email address. Use name@example.org, or leave it empty."
    return line_problem(address, limit=254)


def date_problem(text: str) -> str:
    """A date as YYYY-MM-DD."""
    try:
        valid = date.fromisoformat(text).isoformat() == text
    except ValueError:
        valid = False
    return "" if valid else f"'{text}' is not a date. Write it as YYYY-MM-DD."


class ValidatorsExtension(Extension):
    """Filters: project_name_problem, text_problem, line_problem, email_problem, date_problem."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        checks = (project_name_problem, text_problem, line_problem, email_problem, date_problem)
        environment.filters.update({check.__name__: check for check in checks})
