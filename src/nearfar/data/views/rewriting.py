"""Views that have a text written anew by a model or a function: paraphrase, backtranslate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from nearfar.data.views.base import TextView, option, valid
from nearfar.data.views.draws import pick
from nearfar.data.views.kept import Kept
from nearfar.errors import InputError

Rewrite = Callable[[list[str]], Sequence[str]]
"""Texts -> a text for each."""

Choices = tuple[str, ...]
"""What a text may become."""


@dataclass(frozen=True, kw_only=True)
class Rewriting(TextView):
    """A view whose texts are written beforehand, many at a time, and kept."""

    beams: int = option(4, "beams of the search of a model; each ends in a text, of which one is drawn", least=1)
    longest: int = option(128, "tokens that a model writes at the most", least=1)
    batch_size: int = option(32, "texts that a model takes at a time", least=1)

    def write(self, texts: list[str]) -> Iterable[Choices]:
        """What each text may become."""
        raise NotImplementedError

    def prepare(self, texts: Sequence[str] = (), *, lasting: bool = True) -> None:
        self.write([])
        _kept(self).add([text for text in texts if text and not text.isspace()], lasting=lasting)

    def change(self, text: str, random: Random) -> str:
        if not text or text.isspace():
            return text
        choices = _kept(self)(text)
        return choices[pick(random, len(choices))]

    def rewrite(self, by: str | Rewrite, texts: list[str], beams: int, option: str) -> list[Choices]:
        """Texts written anew by a function, or by the model in a folder."""
        if callable(by):
            return [(text,) for text in _checked(by, texts, f"{self.name}: {option}")]
        if not by:
            raise InputError(f"{self.name}: found no {option}, wanted {option}=FOLDER of a seq2seq model")
        model = _open_seq2seq(by, f"{self.name}: {option}")
        return model.write(texts, beams=beams, longest=self.longest, batch_size=self.batch_size)


@dataclass(frozen=True, kw_only=True)
class Paraphrase(Rewriting):
    """Says the same in other words, as a model or a function has it."""

    name = "paraphrase"
    keeps = "the meaning, as far as the model can; words and grammar change, which no other view does"
    breaks = "what the model gets wrong or makes up; look at the samples"
    source = "Wieting & Gimpel 2018 (ParaNMT)"

    model: str | Rewrite = option("", "folder of a seq2seq model; from Python also a function of texts", function=True)
    prefix: str = option("", "what the model wants before a text, such as 'paraphrase: '")

    def write(self, texts: list[str]) -> Iterable[Choices]:
        return self.rewrite(self.model, [self.prefix + text for text in texts], self.beams, "model")


@dataclass(frozen=True, kw_only=True)
class BackTranslate(Rewriting):
    """Translates into another language and back."""

    name = "backtranslate"
    keeps = "the meaning, as far as both translations do"
    breaks = "names, numbers and tone get lost on the way"
    source = "Sennrich et al. 2016; Fang et al. 2020 (CERT)"

    there: str | Rewrite = option("", "folder of the model into the other language, or a function", function=True)
    back: str | Rewrite = option("", "folder of the model back, or a function", function=True)

    def write(self, texts: list[str]) -> Iterable[Choices]:
        abroad = [choices[0] for choices in self.rewrite(self.there, texts, 1, "there")]
        return self.rewrite(self.back, abroad, self.beams, "back")


@lru_cache(maxsize=8)
def _kept(view: Rewriting) -> Kept[Choices]:
    return Kept(view.write)


def _checked(rewrite: Rewrite, texts: list[str], name: str) -> list[str]:
    if not texts:
        return []
    found = rewrite(texts)
    if isinstance(found, str) or len(found) != len(texts) or not all(isinstance(text, str) for text in found):
        raise InputError(f"{name}: found {found!r:.60} for {len(texts)} texts, wanted a text for each")
    return [valid(text) for text in found]


class Seq2Seq:
    """A seq2seq model of transformers in a local folder.

    Raises:
        InputError: there is none.
    """

    def __init__(self, folder: str, name: str) -> None:
        if not (Path(folder) / "config.json").is_file():
            raise InputError(f"{name}: found no config.json in {folder}, wanted the folder of a seq2seq model")
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
        from transformers.utils import logging

        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.model = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True).eval()
        except Exception as error:  # whatever a damaged folder makes transformers raise
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"{name}: could not open {folder}, wanted a seq2seq model ({reason})") from error
        finally:
            if bars:
                logging.enable_progress_bar()
        if torch.cuda.is_available():
            self.model.to("cuda")
        positions = getattr(self.model.config, "max_position_embeddings", None) or 512
        self.most = min(self.tokenizer.model_max_length, positions)

    def write(self, texts: list[str], *, beams: int, longest: int, batch_size: int) -> list[Choices]:
        """The results of a beam search for each text, the best first; a text is cut to what the model takes."""
        filled = [place for place, text in enumerate(texts) if not (text == "" or text.isspace())]
        order = sorted(filled, key=lambda place: len(texts[place]))  # little padding
        written: list[Choices] = [("",)] * len(texts)
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            results = self._generate([texts[place] for place in places], beams, longest)
            for number, place in enumerate(places):
                written[place] = tuple(dict.fromkeys(results[number * beams : (number + 1) * beams]))
        return written

    def _generate(self, texts: list[str], beams: int, longest: int) -> list[str]:
        inputs: Any = self.tokenizer(texts, padding=True, truncation=True, max_length=self.most, return_tensors="pt")
        if not inputs["input_ids"].numel():  # a tokenizer may see nothing in a text and add nothing of its own
            return [""] * (beams * len(texts))
        tokens = self.model.generate(
            input_ids=inputs["input_ids"].to(self.model.device),
            attention_mask=inputs["attention_mask"].to(self.model.device),
            do_sample=False,
            num_beams=beams,
            num_return_sequences=beams,
            max_new_tokens=longest,
        )
        return [valid(text.strip()) for text in self.tokenizer.batch_decode(tokens, skip_special_tokens=True)]


@lru_cache(maxsize=4)
def _open_seq2seq(folder: str, name: str) -> Seq2Seq:
    return Seq2Seq(folder, name)
