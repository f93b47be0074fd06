"""Records what Hugging Face's tokenizers library makes of a corpus, for gateway/text's tests.

    .venv/bin/python tests/golden/record_tokenizers.py [VOCABULARIES]     (default build/testdata/text)

Writes tests/golden/data/text/corpus.json (the texts) and one tokens_NAME.json per vocabulary: for each text its ids with
special tokens recognised ("template") and, where they differ, with special tokens taken as plain text ("user"); and for
random ids what decode makes of them. chat_ids.json has the ids of the prompts that record_templates.py recorded before.
"""

import json
import random
import sys
from pathlib import Path

import tokenizers

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "tests" / "golden" / "data" / "text"
NAMES = ("smollm2", "qwen2", "llama3")
CHATS = {"smollm2": "smollm2", "qwen2": "qwen2.5", "llama3": "llama3.1"}  # vocabulary -> template

SENTENCES = """
The quick brown fox jumps over the lazy dog.
I'm sure they'll say it's what we've done; he'd DON'T I'LL WE'VE you'Re 'S 'T 'tis rock'n'roll O'Neill’s
Pi is 3.14159265358979, a year has 365.2425 days, and 1,234,567,890 > 0x7fffffff; 10^100 ½ ¾ ² ⅷ ٣٤٥ 一二三
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. STRASSE ß ẞ
Voix ambiguë d’un cœur qui, au zéphyr, préfère les jattes de kiwis ; « déjà vu » — 50 €
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío, ¿añoraba? ¡Sí!
Съешь же ещё этих мягких французских булок, да выпей чаю. Ёлка №5
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ὦ ξεῖν᾽, ἀγγέλλειν
いろはにほへと ちりぬるを わかよたれそ。東京都は日本の首都です。カタカナ、ﾊﾝｶｸ、ｶﾞ
敏捷的棕色狐狸跳过了懒狗。今天天气怎么样？我有3个苹果和12本书。繁體中文測試
다람쥐 헌 쳇바퀴에 타고파. 한국어 조선말 ㄱㄴㄷ
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر، ١٢٣
דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले विष्णुवतार भगवान श्रीराम। १२३
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๑๒๓
Chào buổi sáng, bạn có khỏe không? Tiếng Việt
Pchnąć w tę łódź jeża lub ośm skrzyń fig. İstanbul ığdır I i
გთხოვთ ახლავე გაიაროთ რეგისტრაცია. Հայերեն ամհարኛ አማርኛ ភាសាខ្មែរ བོད་སྐད་ 𐌰𐌱𐌲 𝕬𝖇𝖈 𝒳²
👍 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 ☕️ ❤️‍🔥 🧑🏿‍🚀 1️⃣ 😀😃😄 🤷‍♀️ text🎉text
e\u0301 \u0065\u0323\u0301 a\u0301\u0323 q\u0307\u0323 o\u0302\u0301 \u1ec7 \u00e9 \u212b \u2126 \ufb01 \u1100\u1161\u11a8 \u0958 \u0344
def f(x: int) -> str:\n    \"\"\"Doc.\"\"\"\n    return f\"{x!r:>10}\" if x else None\n\n\nclass A(B):\n\tpass\n
#include <vector>\nint main(int argc, char** argv) {\n  std::vector<int> v{1, 2, 3};\n  return v[0] << 2 || !argc;\n}\n
for(let i=0;i<10;++i){console.log(`${i}: ${a[i]?.b ?? 'none'}`)} // TODO\r\n\r\n/* x */
{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Zürich\", \"days\": 3, \"ok\": true, \"x\": null, \"y\": [1.5e-3]}}
SELECT * FROM t WHERE a='it''s' AND b<>\"x\" ORDER BY 1 DESC; -- comment\n
<html><body class=\"a b\">&nbsp;&lt;p&gt;</body></html>\n\n\n<!-- c -->
$ curl -sS https://example.org/a/b?c=d&e=%20f#g | jq '.[] | .x' && echo \"done\" >> ~/log.txt 2>&1
\\frac{a}{b} + \\sum_{i=0}^{n} x_i^2 = \\alpha \\cdot \\infty $$E=mc^2$$
    indented\n\tand\ttabs\n  \n \n\n\n   trailing   \n
  leading  double   triple    quadruple     spaces\u00a0nbsp\u2003em\u3000ideographic\u2028line\u2029para\u0085nel\u200bzwsp\ufeffbom\u180emvs
\r\r\n\n\r \r\n \t\n\x0b\x0c\x1c\x1d\x1e\x1f \x00\x01\x7f
\u017f'\u017f it'\u017f 'S 'ſt I'LL'll \u212a
snake_case camelCase PascalCase kebab-case SCREAMING_CASE a.b.c a/b\\c x--y__z ...!!!???;;;===>>> ~~~ ###
user@example.com +49 (0)30 123456-78 2024-02-29T23:59:60Z 192.168.0.1:8080 ::1 v1.2.3-rc.4+5
""".strip("\n").split("\n")

SPECIAL = [
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    "<|im_end|><|im_end|> <|im_end|>x<|im_end",
    "<|endoftext|>", "a<|endoftext|>b", "<|im_start|><|im_start", "<<|im_end|>>", "<|begin_of_text|><|start_header_id|>user"
    "<|end_header_id|>\n\nHi <|eot_id|>", "<|reserved_special_token_1|><|reserved_special_token_10|>", "<repo_name>x<file_sep>",
    "<think>\nHmm\n</think>\n\n<tool_call>\n{}\n</tool_call>", "é<|im_end|>\u0301 e<|im_end|>",
]


def random_text(generator, ranges, length):
    return "".join(chr(generator.randint(*generator.choice(ranges))) for _ in range(length))


def random_texts(generator):
    """Unicode at random, bytes at random, and mixtures with much white space and many marks."""
    scripts = [(0x20, 0x7E), (0xA0, 0x24F), (0x370, 0x3FF), (0x400, 0x4FF), (0x5D0, 0x5EA), (0x620, 0x64A), (0x900, 0x939),
               (0x3041, 0x3096), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0x1F600, 0x1F64F), (0x2000, 0x206F)]
    spaces = [(0x20, 0x20), (0x09, 0x0D), (0x20, 0x20), (0x61, 0x7A), (0x30, 0x39), (0x21, 0x2F)]
    marks = [(0x61, 0x65), (0x300, 0x304), (0x323, 0x328), (0x41, 0x45), (0xC0, 0xCF), (0x1EA0, 0x1EAF), (0x1100, 0x1112),
             (0x1161, 0x1175), (0x11A8, 0x11C2), (0x5B0, 0x5BC), (0x93C, 0x93C), (0x915, 0x939)]
    for _ in range(60):
        yield random_text(generator, scripts, generator.randint(1, 60))
    for _ in range(60):
        yield random_text(generator, spaces, generator.randint(1, 60))
    for _ in range(60):
        yield random_text(generator, marks, generator.randint(1, 40))
    for _ in range(60):
        yield generator.randbytes(generator.randint(1, 60)).decode("utf-8", errors="replace")
    for _ in range(20):
        yield generator.randbytes(generator.randint(1, 60)).decode("latin-1")


def long_texts(generator):
    """Small siblings of the worst cases that the gateway must stand."""
    for unit in ("a", " ", "\n", "0", "!", "é", "\u0301", "\u200d", "中", "ab", " \n", "=-"):
        yield unit * 600
    yield "".join(generator.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") for _ in range(2000))
    yield "a" + "".join(chr(generator.randint(0x300, 0x36F)) for _ in range(500))


def corpus():
    generator = random.Random(20250101)
    sentences = [line.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r") for line in SENTENCES]
    texts = ["", " ", "\n", "a", *sentences, "\n".join(sentences), *SPECIAL, *random_texts(generator), *long_texts(generator)]
    return [text for text in texts if "\ud800" > max(text, default="a") or max(text) > "\udfff"]


def encode(tokenizer, text, as_user):
    tokenizer.encode_special_tokens = as_user
    return tokenizer.encode(text, add_special_tokens=False).ids


def encodings(tokenizer, texts):
    for text in texts:
        template, user = encode(tokenizer, text, False), encode(tokenizer, text, True)
        yield {"template": template} if template == user else {"template": template, "user": user}


def decodings(tokenizer):
    generator = random.Random(7)
    size = max(tokenizer.get_vocab().values()) + 1
    bytes_first = [i for i in range(size) if len(tokenizer.id_to_token(i) or "") == 1]
    for index in range(150):
        # Single bytes in half of the cases, to make broken UTF-8 likely; special tokens in between.
        pool = bytes_first if index % 2 else range(size)
        ids = [generator.choice(pool) for _ in range(generator.randint(1, 24))]
        if index % 3 == 0:
            special = generator.choice([i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special])
            ids.insert(generator.randrange(len(ids) + 1), special)
        yield {"ids": ids, "kept": tokenizer.decode(ids, skip_special_tokens=False),
               "skipped": tokenizer.decode(ids, skip_special_tokens=True)}


def chat_ids(tokenizer, template):
    """Ids of each recorded prompt; null where there is none, or where a conversation holds a special token's literal."""
    tokenizer.encode_special_tokens = False
    prompts = json.loads((DATA / "templates.json").read_text())["prompts"][template]
    conversations = json.loads((DATA / "conversations.json").read_text())
    for prompt, conversation in zip(prompts, conversations):
        benign = prompt is not None and "<|" not in json.dumps(conversation)
        yield tokenizer.encode(prompt, add_special_tokens=False).ids if benign else None


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def main():
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "testdata" / "text"
    DATA.mkdir(parents=True, exist_ok=True)
    texts = corpus()
    write(DATA / "corpus.json", texts)
    chats = {}
    for name in NAMES:
        tokenizer = tokenizers.Tokenizer.from_file(str(source / name / "tokenizer.json"))
        write(DATA / f"tokens_{name}.json", {"library": f"tokenizers {tokenizers.__version__}",
                                             "encodings": list(encodings(tokenizer, texts)),
                                             "decodings": list(decodings(tokenizer))})
        chats[name] = list(chat_ids(tokenizer, CHATS[name]))
    write(DATA / "chat_ids.json", chats)


if __name__ == "__main__":
    main()
