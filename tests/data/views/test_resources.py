"""Views that need more than the text: WordNet, a static encoder, a seq2seq model or a function."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from nearfar.data.views import Views, parse_view, thesaurus
from nearfar.data.views.rewriting import BackTranslate, Paraphrase
from nearfar.errors import InputError
from tests.data.views.conftest import add_mark, upper


def becomes(view: str, text: str, count: int = 60) -> set[str]:
    return {parse_view(view).pair(text, Random(seed))[1] for seed in range(count)}


@pytest.fixture
def wordnet() -> Path:
    pytest.importorskip("nltk", reason="nltk is not installed (nearfar[wordnet])")
    if not thesaurus.WORDNET.is_dir():
        pytest.skip("WordNet is not installed (apt-get install wordnet-base)")
    return thesaurus.WORDNET


def synset_lines(folder: Path) -> list[set[str]]:
    """The words of each synset, read off the files themselves."""
    found = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("utf-8").splitlines():
            if not line.startswith(" "):
                fields = line.split(" ")
                words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
                found.append({word.partition("(")[0].lower().replace("_", " ") for word in words})
    return found


def test_a_synonym_shares_a_synset_of_wordnet(wordnet: Path) -> None:
    synsets = synset_lines(wordnet)
    for word in ("noon", "quick", "begin", "sofa", "quickly"):
        for other in becomes("synonym", word) - {word}:
            assert any({word, other} <= synset for synset in synsets), other
    assert becomes("synonym", "noon") == {"noonday", "midday", "high noon", "twelve noon", "noontide"}
    assert len(becomes("synonym:senses=9", "begin")) > len(becomes("synonym", "begin"))


def test_wordnet_keeps_marks_and_capitals_and_leaves_other_words_alone(wordnet: Path) -> None:
    assert becomes(f"synonym:wordnet={wordnet}", '"Sofa",') == {'"Couch",', '"Lounge",'}
    assert becomes("synonym", "SOFA!") == {"COUCH!", "LOUNGE!"}
    for text in ("sofas", "it", "the", "a", "xyzzy", "소파", "1"):
        assert becomes("synonym", text, 3) == {text}


def test_insert_adds_a_synonym_without_marks(wordnet: Path) -> None:
    assert becomes("insert", "on a sofa, here") <= {
        " ".join([*words[:place], word, *words[place:]])
        for words in [["on", "a", "sofa,", "here"]]
        for word in ("couch", "lounge")
        for place in (1, 2, 3, 4)
    }


@pytest.fixture
def without_wordnet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thesaurus, "WORDNET", Path("/nowhere"))
    thesaurus.open_thesaurus.cache_clear()


@pytest.mark.usefixtures("without_wordnet")
def test_neighbours_in_an_encoder_are_synonyms(static: Path) -> None:
    near = f"synonym:model={static},similarity=0.9"
    assert becomes(near, "Cat!") == {"Kitten!"}
    assert becomes(near, "고양이 바위") == {"강아지 바위"}
    assert becomes(f"synonym:model={static},closest=2,similarity=0", "cat") == {"kitten", "dog"}
    assert becomes(near, "stone unknown") == {"stone unknown"}
    assert becomes(f"insert:model={static},similarity=0.9", "바위 고양이") == {
        "바위 강아지 고양이",
        "바위 고양이 강아지",
    }


@pytest.mark.usefixtures("without_wordnet")
@pytest.mark.parametrize("name", ["synonym", "insert"])
def test_without_a_source_of_synonyms_the_message_says_how_to_get_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="apt-get install wordnet-base"):
        Views.parse([name]).prepare()
    with pytest.raises(InputError, match="model: found no static encoder in"):
        Views.parse([f"{name}:model={tmp_path}"]).prepare()
    pytest.importorskip("nltk", reason="nltk is not installed (nearfar[wordnet])")
    with pytest.raises(InputError, match="wordnet: found no WordNet in"):
        Views.parse([f"{name}:wordnet={tmp_path}"]).prepare()


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of two thin layers with random weights, and a tokenizer of a few words."""
    import torch
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    vocabulary = {word: n for n, word in enumerate("<pad> </s> <unk> the cat sleeps now 고양이 가 잔다".split())}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    )
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": len(vocabulary)}
    config = T5Config(**sizes, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    folder = tmp_path_factory.mktemp("seq2seq")
    T5ForConditionalGeneration(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def test_a_model_in_a_folder_writes_the_texts(seq2seq: Path) -> None:
    settings = f"paraphrase:model={seq2seq},beams=3,longest=6,batch_size=2"
    texts = ["the cat sleeps", "고양이 가 잔다 now", "the", "", "cat " * 500]
    views = Views.parse([settings])
    anchors, positives = views.pairs(texts, range(5), seed=0, epoch=0)
    assert anchors == texts
    known = set("the cat sleeps now 고양이 가 잔다 <unk>".split())
    for text, positive in zip(texts, positives, strict=True):
        assert positive == text or (0 < len(positive.split()) <= 6 and set(positive.split()) <= known)
    assert Views.parse([settings]).pairs(texts, range(5), seed=0, epoch=0) == (anchors, positives)
    both = Views.parse([f"backtranslate:there={seq2seq},back={seq2seq},beams=2,longest=6"])
    assert all(both.pairs(texts[:3], range(3), seed=0, epoch=0)[1])


def test_beams_are_drawn_from(seq2seq: Path) -> None:
    views = Views.parse([f"paraphrase:model={seq2seq},beams=4,longest=5"])
    found = {views.pair("the cat sleeps now", seed=0, row=0, epoch=epoch)[1] for epoch in range(20)}
    assert len(found) > 1


def test_a_function_is_asked_once_for_a_text() -> None:
    asked: list[list[str]] = []

    def shout(texts: list[str]) -> list[str]:
        asked.append(texts)
        return upper(texts)

    views = Views((Paraphrase(model=shout),))
    for epoch in range(3):
        assert views.pairs(["a", "b", "a"], range(3), seed=0, epoch=epoch)[1] == ["A", "B", "A"]
    assert asked == [["a", "b"]]
    assert BackTranslate(there=upper, back=add_mark).pair("a", Random(0)) == ("a", "A!")


def test_what_a_rewriting_view_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="paraphrase: found no model, wanted model=FOLDER"):
        Views.parse(["paraphrase"]).prepare()
    with pytest.raises(InputError, match=r"backtranslate: there: found no config.json in .+, wanted the folder"):
        Views.parse([f"backtranslate:there={tmp_path},back={tmp_path}"]).prepare()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"could not open .+, wanted a seq2seq model"):
        Views.parse([f"paraphrase:model={tmp_path}"]).prepare()
    with pytest.raises(InputError, match="for 2 texts, wanted a text for each"):
        Views((Paraphrase(model=lambda texts: texts[:1]),)).pairs(["a", "b"], range(2), seed=0, epoch=0)
