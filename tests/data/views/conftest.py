"""Views with whatever they need, odd texts, and a static encoder whose neighbours are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from nearfar.data.views import TextView, parse_view
from nearfar.data.views.rewriting import BackTranslate, Paraphrase

NEIGHBOURS = {
    "cat": (1.0, 0.0, 0.1), "kitten": (1.0, 0.1, 0.0), "dog": (0.8, 0.6, 0.0), "stone": (0.0, 0.0, 1.0),
    "고양이": (0.0, 1.0, 0.0), "강아지": (0.1, 1.0, 0.0), "바위": (-1.0, 0.0, 0.2), "##s": (1.0, 0.0, 0.0),
}  # fmt: skip
"""Words of the encoder; a cat is near a kitten and 고양이 near 강아지."""


def upper(texts: list[str]) -> list[str]:
    return [text.upper() for text in texts]


def add_mark(texts: list[str]) -> list[str]:
    return [f"{text}!" for text in texts]


@pytest.fixture(scope="session")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static encoder in a folder, written by sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    vocabulary = {"[UNK]": 0} | {word: number for number, word in enumerate(NEIGHBOURS, start=1)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    vectors = torch.tensor([(0.0, 0.0, 0.0), *NEIGHBOURS.values()])
    folder = tmp_path_factory.mktemp("static") / "model"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, vectors)], device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def text_views(static: Path) -> dict[str, TextView]:
    """Every view of texts, ready to use."""
    alone = "delete swap repeat crop span inverse_cloze adjacent mask typo".split()
    found = {name: parse_view(name) for name in alone}
    found |= {name: parse_view(f"{name}:model={static}") for name in ("synonym", "insert")}
    found |= {"paraphrase": Paraphrase(model=upper), "backtranslate": BackTranslate(there=upper, back=add_mark)}
    return {name: view for name, view in found.items() if isinstance(view, TextView)}


ENGLISH = "The quick cat jumps over the lazy dog, and then it sleeps. It wakes up at noon! Nobody knows why."
KOREAN = "나는 어제 학교에서 고양이를 만났다. 우리는 같이 밥을 먹었어요. 정말 좋았다!"
CHINESE = "我今天去学校。他很高兴！我们一起吃饭。"
ODD = {
    "empty": "",
    "one": "cat",
    "one syllable": "글",
    "emoji": "😀👩‍👩‍👧‍👦🇰🇷👍🏽",
    "spaces": " \t\n\u3000 ",
    "nul": "a\0b \0 c\0",
    "half": "cat \ud800 dog\udfff 고양이",
    "mixed": "나는 computer를 샀다! I like 김치 漢字かな交じり",
    "jamo": "한국어 cafe\u0301 각",
    "decomposed": "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "right to left": "مرحبا بالعالم. שלום עולם!",
    "marks": "!!! ... ???",
    "lines": "one\n\ntwo\r\nthree\u2028four",
    "inner space": "  two  words \n here ",
}
characters = st.one_of(
    st.characters(),
    st.characters(categories=["Cs"]),
    st.sampled_from("가각한글값ㅋㅠ\u1100\u1161\u11a8 \n\t.!?。abcZé\u0301😀\u200d漢字かなไทยمرحبا\0"),
)
any_text = st.text(characters)
