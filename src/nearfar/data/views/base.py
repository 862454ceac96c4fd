"""What every view is: a name, options that can be written and read as text, and for text space a pair of texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from random import Random
from typing import Any, ClassVar, Literal

from nearfar.errors import InputError


def option(
    default: Any,
    about: str,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    function: bool = False,
) -> Any:
    """A field of a view.

    Args:
        default: also says the type: float, int or str.
        about: what it does, in a few words.
        least: the smallest number allowed; a number has this or `above`.
        above: what the number must exceed.
        most: the largest number allowed.
        function: whether a function may be given instead of a text.
    """
    limits = {"least": least, "most": most, "above": above}
    return field(default=default, metadata={"about": about, "function": function, **limits})


@dataclass(frozen=True, kw_only=True)
class View:
    """A way to make a positive. A subclass sets the class variables, adds options, and is listed in `VIEWS`.

    Attributes:
        name: on the command line.
        space: "text", or "embedding" for what is done to vectors.
        keeps: what of the meaning survives.
        breaks: what may not.
        source: the paper.
        probability: share of the rows that it is applied to.

    Raises:
        InputError: a value is of the wrong type or out of its range.
    """

    name: ClassVar[str]
    space: ClassVar[Literal["text", "embedding"]]
    keeps: ClassVar[str]
    breaks: ClassVar[str]
    source: ClassVar[str]

    probability: float = option(1.0, "share of the rows that it is applied to", least=0, most=1)

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(self.name, each, getattr(self, each.name))

    def __str__(self) -> str:
        """``name:option=value,...``, which `parse_view` reads back."""
        values = {each: getattr(self, each.name) for each in options(type(self))}
        return f"{self.name}:" + ",".join(
            f"{each.name}={escaped(value)}" for each, value in values.items() if not value == each.default == ""
        )


def options(view: type[View]) -> list[Field[Any]]:
    """The options of a class, `probability` last."""
    return sorted(fields(view), key=lambda each: each.name == "probability")


def escaped(value: object) -> str:
    """An option's value as text; a comma in it gets a backslash.

    Raises:
        InputError: it is a function, which has no text.
    """
    if callable(value):
        raise InputError(f"found the function {value!r} as an option, which cannot be written; wanted a folder's name")
    return str(value).replace("\\", "\\\\").replace(",", "\\,")


def _check(view: str, each: Field[Any], value: object) -> None:
    kind = type(each.default)
    if kind is str:
        if isinstance(value, str) or (each.metadata["function"] and callable(value)):
            return
        raise InputError(f"{view}: {each.name}: found {value!r}, wanted a text")
    number = isinstance(value, int | float if kind is float else int) and not isinstance(value, bool)
    if not (number and _within(value, each.metadata)):
        raise InputError(f"{view}: {each.name}: found {value!r}, wanted {wanted(each)}")


def _within(value: Any, limits: Mapping[str, Any]) -> bool:
    """Whether a number is inside the limits of an option; NaN is in none."""
    low, high, above = limits["least"], limits["most"], limits["above"]
    bounded = value >= low if low is not None else value > above
    return bool(bounded and (value <= high if high is not None else value < math.inf))


def wanted(each: Field[Any]) -> str:
    """What an option takes, in words."""
    if isinstance(each.default, str):
        return "a text"
    low, high, above = (each.metadata[name] for name in ("least", "most", "above"))
    words = "a whole number" if isinstance(each.default, int) else "a number"
    words += f" from {low}" if low is not None else f" above {above}"
    if high is not None:
        return f"{words} to {high}" if low is not None else f"{words} and at most {high}"
    return f"{words} up" if low is not None else words


@dataclass(frozen=True, kw_only=True)
class TextView(View):
    """A view in text space: a pure function of a text and a random generator.

    A subclass has `change`, or `split` where both sides of the pair are made anew.
    """

    space = "text"

    def pair(self, text: str, random: Random) -> tuple[str, str]:
        """Anchor and positive.

        Args:
            text: any str; half a surrogate pair, which UTF-8 has no place for, becomes U+FFFD.
            random: where all chance comes from.

        Returns:
            The text and a changed one, or two parts of it; the text twice where the view is not applied, finds
            nothing to change or would leave nothing.
        """
        text = valid(text)
        if self.probability < 1 and random.random() >= self.probability:
            return text, text
        return self.apply(text, random)

    def apply(self, text: str, random: Random) -> tuple[str, str]:
        """The pair of a valid text, whatever the probability."""
        first, second = self.split(text, random)
        if second and first and not second.isspace() and not first.isspace():
            return first, second
        return text, text

    def split(self, text: str, random: Random) -> tuple[str, str]:
        """Both sides, one of them perhaps empty."""
        return text, self.change(text, random)

    def change(self, text: str, random: Random) -> str:
        """The text changed, perhaps to nothing."""
        raise NotImplementedError

    def prepare(self, texts: Sequence[str] = (), *, lasting: bool = True) -> None:
        """Open what the view needs, and work out together what a batch of texts costs least together.

        Args:
            texts: those to come next; `apply` takes any other too.
            lasting: whether they will come again, in another epoch.

        Raises:
            InputError: something that the view needs is not there.
        """


def valid(text: str) -> str:
    """The text as UTF-8 can hold it: U+FFFD for each half of a surrogate pair that stands alone."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
