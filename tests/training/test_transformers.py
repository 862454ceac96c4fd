"""Training of a small transformer: memory that runs out, prompts, Matryoshka, the real command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import nearfar as nf
from nearfar.commands import main
from nearfar.encoders.prompts import prompt_of
from nearfar.training.outcome import Step

Make = Callable[..., SentenceTransformer]
NOUNS, VERBS = "cat dog bird horse boat".split(), "sleeps runs sings waits".split()
ANCHORS = [f"a {noun} {verb}" + " here" * (i % 3) for i, noun in enumerate(NOUNS) for verb in VERBS]
POSITIVES = [f"the {noun} often {verb}" for noun in NOUNS for verb in VERBS]
TABLE = nf.Table.from_columns({"anchor": ANCHORS, "positive": POSITIVES})


def trained(
    model: SentenceTransformer, watch: Callable[[Step], None] = lambda step: None, **values: Any
) -> dict[str, torch.Tensor]:
    settings = nf.Settings(steps=2, batch_size=20, held_out=0, warmup=0, **values)
    state = nf.train(TABLE, model=model, settings=settings, watch=watch).model.state_dict()
    return {name: value.clone() for name, value in state.items()}


@pytest.mark.parametrize("when", ["first pass", "backward pass"])
def test_memory_that_runs_out_halves_the_chunk_and_changes_nothing_else(when: str, make_transformer: Make) -> None:
    """The run is the one that had the smaller chunk from the start, its dropout included."""
    model = make_transformer()
    notes: list[str] = []
    fails = iter([when] * 2)
    chunks: list[int] = []
    forward = model[0].forward

    def scarce(features: dict[str, Any], **options: Any) -> Any:
        number = len(chunks)
        chunks.append(features["input_ids"].numel())
        late = torch.is_grad_enabled() and number > 0  # a first pass keeps no graph but the first chunk's
        if chunks[-1] > 20 and (late if when == "backward pass" else number == 2) and next(fails, None):
            raise MemoryError("no room")
        return forward(features, **options)

    model[0].forward = scarce
    found = trained(model, lambda step: notes.append(step.note), chunk_tokens=64, keep_mib=0)
    model[0].forward = forward
    halved = [note for note in notes if "memory" in note]
    assert halved == ["out of memory; from here on 32 tokens are encoded at a time"] or halved == [
        "out of memory; from here on 16 tokens are encoded at a time"
    ]
    size = int(halved[0].split()[6])
    wanted = trained(make_transformer(), chunk_tokens=size, keep_mib=0)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_run_goes_on_in_the_chunks_that_it_had(
    make_transformer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that memory decided at first, halved where it ran out: whatever is free when the run goes on."""

    def part(name: str, free: int, stop: bool = False, **options: Any) -> dict[str, torch.Tensor]:
        monkeypatch.setattr("nearfar.encoders.transformer.fitting_chunk", lambda model: free)
        model, fails = make_transformer(), iter([not options.get("resume")])
        forward = model[0].forward

        def scarce(features: dict[str, Any], **more: Any) -> Any:
            if next(fails, False):
                raise MemoryError("no room")
            return forward(features, **more)

        model[0].forward = scarce
        checkpoints = nf.Checkpoints(tmp_path / name, stop=lambda: stop, **options)
        settings = nf.Settings(steps=3, batch_size=20, held_out=0, warmup=0)
        found = nf.train(TABLE, model=model, settings=settings, checkpoints=checkpoints)
        assert found.settings.chunk_tokens == 32  # which nearfar.json holds
        return found.model.state_dict()

    whole = part("whole", 64)
    with pytest.raises(nf.Stopped):
        part("cut", 64, stop=True)
    again = part("cut", 1024, resume=True)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_no_memory_at_all_is_an_error_that_says_so(make_transformer: Make) -> None:
    model = make_transformer()

    def never(features: dict[str, Any], **options: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    model[0].forward = never
    with pytest.raises(nf.RunError, match=r"out of memory \(DefaultCPUAllocator.*smaller --batch-size"):
        trained(model, chunk_tokens=64, keep_mib=0)


def test_another_error_is_not_of_memory(make_transformer: Make) -> None:
    model = make_transformer()

    def broken(features: dict[str, Any], **options: Any) -> Any:
        raise RuntimeError("shapes")

    model[0].forward = broken
    with pytest.raises(RuntimeError, match="shapes"):
        trained(model, chunk_tokens=64, keep_mib=0)


PROMPTS = ["anchor=ask: ", "positive=say: "]


def test_training_with_prompts_is_training_on_texts_that_begin_with_them(make_transformer: Make) -> None:
    model = make_transformer()
    found = trained(model, prompt=PROMPTS)
    written = nf.Table.from_columns(
        {"anchor": [f"ask: {a}" for a in ANCHORS], "positive": [f"say: {p}" for p in POSITIVES]}
    )
    settings = nf.Settings(steps=2, batch_size=20, held_out=0, warmup=0)
    wanted = nf.train(written, model=make_transformer(), settings=settings).model.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_prompts_of_the_opened_model_are_trained_with(make_transformer: Make) -> None:
    named = make_transformer()
    named.prompts.update(query="ask: ", document="say: ")
    found, wanted = trained(named), trained(make_transformer(), prompt=PROMPTS)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_the_prompt_of_a_role(make_transformer: Make) -> None:
    model = make_transformer()
    model.prompts.update(query="q: ", passage="p: ", other="o: ")
    model.default_prompt_name = "other"
    del model.prompts["document"]
    found = {role: prompt_of(model, role) for role in ("anchor", "positive", "negative_2", "text", "sentence1")}
    assert found == {"anchor": "q: ", "positive": "p: ", "negative_2": "p: ", "text": "o: ", "sentence1": "o: "}


def test_what_evaluation_and_the_saved_model_make_of_prompts(tmp_path: Path, make_transformer: Make) -> None:
    model = make_transformer()
    trained(model, prompt=PROMPTS)
    model.save(str(tmp_path / "saved"))
    saved = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_array_equal(
        saved.encode_query(ANCHORS), saved.encode([f"ask: {text}" for text in ANCHORS], prompt="")
    )
    np.testing.assert_array_equal(
        saved.encode_document(POSITIVES), saved.encode([f"say: {text}" for text in POSITIVES], prompt="")
    )
    by_prompt = nf.evaluate(saved, TABLE, resamples=0).figures
    written = nf.Table.from_columns(
        {"anchor": [f"ask: {a}" for a in ANCHORS], "positive": [f"say: {p}" for p in POSITIVES]}
    )
    saved.prompts.update(query="", document="")
    assert nf.evaluate(saved, written, resamples=0).figures == pytest.approx(by_prompt)
    assert nf.evaluate(saved, TABLE, resamples=0).figures != pytest.approx(by_prompt, abs=1e-9)


def test_the_prompt_of_texts_becomes_the_models_own(make_transformer: Make) -> None:
    model = make_transformer()
    table = nf.Table.from_columns({"text": ANCHORS + POSITIVES})
    nf.train(table, model=model, settings=nf.Settings(steps=1, batch_size=20, held_out=0, prompt=["text=say: "]))
    np.testing.assert_allclose(model.encode(["a cat"]), model.encode(["say: a cat"], prompt=""), atol=1e-6)


@pytest.mark.parametrize("word", ["query: ", "question=what"])
def test_prompts_that_name_no_role(word: str, make_transformer: Make) -> None:
    with pytest.raises(
        nf.InputError, match=f"prompt: found '{word}', wanted ROLE=TEXT with a role of anchor, positive"
    ):
        trained(make_transformer(), prompt=[word])


def test_matryoshka_is_the_objective_at_each_width(make_transformer: Make) -> None:
    found = trained(make_transformer(), matryoshka=[8, 32])
    settings = nf.Settings(steps=2, batch_size=20, held_out=0, warmup=0)
    objective: Any = nf.Matryoshka(nf.InfoNCELoss(), [8, 32])
    wanted = nf.train(TABLE, model=make_transformer(), settings=settings, objective=objective).model.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    for dims, said in (([0], "wanted different whole numbers"), ([33], "wanted at most the model's width, 32")):
        with pytest.raises(nf.InputError, match=f"matryoshka: found {dims[0]}, {said}"):
            trained(make_transformer(), matryoshka=dims)


def test_the_real_command(tmp_path: Path, tiny: str) -> None:
    data = tmp_path / "pairs.tsv"
    data.write_text("anchor\tpositive\n" + "".join(f"{a}\t{p}\n" for a, p in zip(ANCHORS, POSITIVES, strict=True)))
    options = "--steps 2 --batch-size 8 --evaluations 1 --chunk-tokens 32 --keep-mib 16 --lora 2 --lora-targets query"
    options += " --freeze 3 --matryoshka 8 --matryoshka 32 --held-out 0.2"
    out = tmp_path / "model"
    with pytest.raises(SystemExit) as leaving:
        main(["train", str(data), "-o", str(out), "--encoder", tiny, *options.split(), "--prompt", "anchor=ask: "])
    assert not leaving.value.code
    settings = json.loads((out / "nearfar.json").read_text())["settings"]
    assert (settings["chunk_tokens"], settings["lora"], settings["lora_targets"]) == (32, 2, ["query"])
    assert (settings["matryoshka"], settings["prompt"]) == ([8, 32], ["anchor=ask: "])
    model = SentenceTransformer(str(out), device="cpu")
    assert model.prompts["query"] == "ask: "
    vectors = tmp_path / "vectors.npy"
    with pytest.raises(SystemExit) as leaving:
        main(["encode", str(out), str(data), "-o", str(vectors)])
    assert not leaving.value.code
    np.testing.assert_allclose(np.load(vectors), model.encode_query(ANCHORS), atol=1e-5)
