"""Word vectors: formats that others read, nearest words, analogies, words by their n-grams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nearfar.data import Table
from nearfar.errors import InputError
from nearfar.words import WordVectors
from nearfar.words.corpus import count_words
from nearfar.words.grams import Grams, own_rows_and_grams, spelt

NAMES = "king queen man woman boy girl apple".split()


@pytest.fixture
def vectors() -> WordVectors:
    """Royalty, sex, youth, fruit as axes."""
    tokenizer = count_words(
        lambda: iter([[name] * (9 - place) for place, name in enumerate(NAMES)]), least=1, most=None
    )
    directions = [[1, 1, 0, 0], [1, -1, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 0, 0, 1]]
    return WordVectors(tokenizer, np.array([[0] * 4, *directions], np.float32) * 0.5)


def test_words_stand_in_the_order_of_their_frequency(vectors: WordVectors) -> None:
    assert vectors.words == NAMES
    assert len(vectors) == 7
    assert "King" in vectors
    assert "crown" not in vectors
    np.testing.assert_array_equal(vectors["QUEEN"], [0.5, -0.5, 0, 0])
    with pytest.raises(InputError, match=r"'quen'.*did you mean queen"):
        vectors["quen"]


def test_nearest_and_analogies(vectors: WordVectors) -> None:
    assert [word for word, _ in vectors.nearest("man", count=2)] in (["king", "boy"], ["boy", "king"])
    assert vectors.nearest(["king", "woman"], ["man"], count=1)[0][0] == "queen"
    assert vectors.analogy("man", "king", "woman") == {"3cosadd": "queen", "3cosmul": "queen"}
    assert vectors.analogy("man", "boy", "woman") == {"3cosadd": "girl", "3cosmul": "girl"}
    assert len(vectors.nearest("man", count=100)) == 6
    with pytest.raises(InputError, match="at least one"):
        vectors.nearest([])


def test_measuring_says_how_much_is_covered(vectors: WordVectors) -> None:
    similar = Table.from_columns(
        {
            "word1": ["king", "king", "man", "crown", "apple"],
            "word2": ["queen", "man", "boy", "king", "man"],
            "score": [3.0, 8.0, 8.0, 9.0, 4.0],
        }
    )
    found = vectors.measure(similar)
    assert found.task == "words"
    assert found.figures["coverage"] == 0.8
    assert (found.rows, found.left_out) == (4, 1)
    assert found.figures["spearman"] == pytest.approx(0.9428, abs=0.1)
    asked = Table.from_columns(
        {
            "a": ["man", "Man", "man", "woman"],
            "b": ["king", "boy", "king", "queen"],
            "c": ["woman", "woman", "woman", "crown"],
            "d": ["queen", "girl", "apple", "king"],
            "section": ["royal", "young", "royal", "royal"],
        }
    )
    figures = vectors.measure(asked).figures
    assert figures == {"3cosadd": 2 / 3, "3cosmul": 2 / 3, "royal": 0.5, "young": 1.0, "coverage": 0.75}
    with pytest.raises(InputError, match="none of 1 questions"):
        vectors.measure(Table.from_columns({"a": ["x"], "b": ["y"], "c": ["z"], "d": ["w"]}))


def test_the_folder_opens_in_sentence_transformers(vectors: WordVectors, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    vectors.save(tmp_path)
    model = SentenceTransformer(str(tmp_path), device="cpu")
    texts = ["King", "the king, the woman", "crown"]
    theirs = model.encode(texts)
    np.testing.assert_allclose(theirs[0], vectors["king"], atol=1e-6)
    np.testing.assert_allclose(theirs, vectors.embed(texts), atol=1e-6)
    again = WordVectors.open(tmp_path)
    assert again.words == vectors.words
    np.testing.assert_array_equal(again.vectors, vectors.vectors)


@pytest.mark.parametrize("binary", [False, True])
def test_gensim_reads_word2vec_formats(vectors: WordVectors, binary: bool, tmp_path: Path) -> None:
    gensim = pytest.importorskip("gensim.models")
    vectors.write_word2vec(tmp_path / "v", binary=binary)
    theirs = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "v"), binary=binary)
    assert theirs.index_to_key == NAMES
    np.testing.assert_array_equal(theirs.vectors, vectors.vectors[1:])
    ours = vectors.nearest(["king", "woman"], ["man"], count=3)
    wanted = theirs.most_similar(positive=["king", "woman"], negative=["man"], topn=3)
    assert [word for word, _ in ours] == [word for word, _ in wanted]
    np.testing.assert_allclose([cosine for _, cosine in ours], [cosine for _, cosine in wanted], atol=1e-6)
    mul = theirs.most_similar_cosmul(positive=["king", "woman"], negative=["man"], topn=1)
    assert vectors.analogy("man", "king", "woman")["3cosmul"] == mul[0][0]


def test_grams_of_hangul_are_jamo() -> None:
    assert spelt("각") == "<\u1100\u1161\u11a8>"
    grams = Grams.of(["먹다", "먹고", "tea", "teas"])
    assert "<te" in grams.names
    assert "<\u1106\u1165" in grams.names  # begins like both, without the last consonant
    rows = grams.rows(["", "먹니"])
    assert rows[0].nnz == 0
    assert rows[1].nnz > 0


def test_rows_of_a_word_are_its_own_and_its_grams() -> None:
    grams = Grams.of(["tea", "teas"])
    starts, rows = own_rows_and_grams(grams.rows(["", "tea", "teas"]))
    assert starts[0] == 0
    assert rows[starts[0] : starts[1]].tolist() == [0]
    for word in (1, 2):
        mine = rows[starts[word] : starts[word + 1]]
        assert mine[0] == word
        assert sorted(mine[1:] - 3) == sorted(grams.rows(["", "tea", "teas"])[word].indices)


def test_a_word_outside_the_vocabulary_is_its_grams(vectors: WordVectors) -> None:
    grams = Grams.of(["kings", "kingly"])
    with_grams = WordVectors(
        vectors.tokenizer, vectors.vectors, grams=grams, gram_vectors=np.ones((len(grams.names), 4), np.float32)
    )
    count = grams.rows(["kingdom"]).nnz
    np.testing.assert_allclose(with_grams["kingdom"], np.full(4, count**0.5), rtol=1e-5)
    np.testing.assert_allclose(with_grams.embed(["king kingdom"])[0], (vectors["king"] + count**0.5) / 2, rtol=1e-5)
    assert not with_grams.embed(["zzz", ""]).any()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", b"\x09", "cannot be read"),
        ("outputs.npy", b"x", "cannot be read"),
        ("outputs.npy", b"", "cannot be read"),
        ("grams.txt", b"ab\n", r"grams\.npy: found shape \(\d+, 4\), wanted \(1, d\)"),
    ],
)
def test_a_damaged_folder_is_told(name: str, content: bytes, said: str, vectors: WordVectors, tmp_path: Path) -> None:
    grams = Grams.of(["kings", "kingly"])
    table = np.ones((len(grams.names), 4), np.float32)
    WordVectors(vectors.tokenizer, vectors.vectors, vectors.vectors, grams, table).save(tmp_path)
    assert WordVectors.open(tmp_path)["kingdom"].any()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as raised:
        WordVectors.open(tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_words_that_cancel_out_have_no_nearest(vectors: WordVectors) -> None:
    with pytest.raises(InputError, match="found king to be taken away"):
        vectors.nearest("king", "king")
