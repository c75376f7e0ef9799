"""Words of texts in many scripts, and which queries find them."""

import pytest

from parley_history.queries.search.words import MAX_WORDS, words_of, words_of_query


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("!? — …", ""),
        ("Hello, HELLO world", "hello world"),
        ("Café Zürich naïve", "cafe zurich naive"),
        ("e\u0301t\u00e9", "ete"),
        ("Straße STRASSE", "strasse"),
        ("İstanbul", "istanbul"),
        ("ﬁne ２０２６ ①", "fine 2026 1"),
        ("Ωμέγα", "ωμεγα"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("snake_case don't x2", "snake case don t x2"),
        ("d’été", "d ete"),
        ("co\u00adoperate", "cooperate"),
        ("東京タワー", "東 京 タ ワ ー 東京 京タ タワ ワー"),
        ("人々・〇", "人 々 人々 〇"),
        ("が か\u3099", "が"),
        ("Python入門", "python 入 門 入門"),
        ("한국어 단어", "한 국 어 한국 국어 단 단어"),
        ("\u1112\u1161\u11ab", "한"),
        # Vowels and tones above or below belong to the consonant; those beside it stand alone.
        ("ที่นี่", "ที่ นี่ ที่นี่"),
        ("ปี ๒๕๖๙", "ปี ๒๕๖๙"),
        ("ລາວ", "ລ າ ວ ລາ າວ"),
        ("កម្ពុជា", "ក ម្ពុ ជា កម្ពុ ម្ពុជា"),
        ("हिन्दी में", "हिन्दी में"),
        ("தமிழ் বাংলা", "தமிழ் বাংলা"),
        ("क\u093c \u0958", "क\u093c"),
        ("שָׁלוֹם שלום", "שלום"),
        ("אַבְרָהָם־יצחק", "אברהם יצחק"),
        ("مُحَمَّدٌ محمد محـــمد", "محمد"),
        ("أحمد ﻻ", "احمد لا"),
        ("می\u200cخواهم", "میخواهم"),
        ("great👍🏽👍", "great 👍"),
        ("❤️ 👩‍💻", "❤ 👩 💻"),
        ("🇩🇪🇫🇷", "🇩🇪 🇫🇷"),
    ],
)
def test_words_of_each_script(text: str, words: str) -> None:
    assert words_of(text) == set(words.split())


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("ฉันชอบกินข้าวผัดทุกวัน", "ข้าวผัด"),
        ("ຂ້ອຍຢາກກິນເຂົ້າ", "ກິນ"),
        ("ខ្ញុំចូលចិត្តភាសាខ្មែរ", "ភាសា"),
        ("ခ\u103bစ\u103aသော\u1019\u102d\u1010\u103a", "သော"),
        ("대한민국은 아름답다", "민국"),
        ("私は喫茶店へ行く", "喫茶"),
        ("ﾊﾝｶｸ ＡＢＣ", "ハンカク abc"),
        ("בְּרֵאשִׁית בָּרָא", "בראשית"),
        ("بِسْمِ اللَّهِ الرَّحْمَٰنِ", "الله الرحمن"),
        ("मैं हिन्दी बोलता हूँ", "हिन्दी"),
        ("C'est l'homme", "homme"),
        ("a thumb 👍🏿 up", "👍"),
        ("👨‍👩‍👧", "👧"),
    ],
)
def test_a_query_is_found_in_a_text(text: str, query: str) -> None:
    assert words_of_query(query)
    assert words_of_query(query) <= words_of(text)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("हिन्दी", "हिन्दू"),
        ("दिन", "दान"),
        ("กา", "กี"),
        ("ข้าว", "ข่าว"),
        ("국민", "민국"),
        ("かき", "がき"),
        ("👍", "👎"),
        ("🇩🇪", "🇪🇩"),
        ("wording", "word"),
    ],
)
def test_a_similar_word_is_not_found(text: str, query: str) -> None:
    assert words_of_query(query)
    assert not words_of_query(query) <= words_of(text)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("ข้าว", "ข้า าว"),
        ("ก", "ก"),
        ("대한민국 은", "대한 한민 민국 은"),
        ("喫茶 cafe", "喫茶 cafe"),
        ("cafe", "cafe"),
    ],
)
def test_a_query_needs_no_character_that_a_pair_has(query: str, words: str) -> None:
    assert words_of_query(query) == set(words.split())


def test_ascii_and_other_texts_follow_the_same_rules() -> None:
    text = "".join(map(chr, range(128))) + " 1.5 it's x_y A-B"
    assert words_of(text + "é") == words_of(text) - {"b"} | {"be"}


def test_long_words_and_long_texts_are_bounded() -> None:
    assert words_of("a" * 100_000) == {"a" * 64}
    assert all(len(word) <= 64 for word in words_of("ก" + "\u0e49" * 100_000 + "ก"))
    assert len(words_of(" ".join(map(str, range(30_000))))) == MAX_WORDS
    assert len(words_of("".join(map(chr, range(0x4E00, 0x9FFF))))) == MAX_WORDS
