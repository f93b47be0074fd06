// What grammars let come over a vocabulary made by hand: which tokens are text, what is refused, and that
// hostile sources cost no more than their bounds say.
#include "worker/grammar/xgrammar_compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"
#include "worker/grammar/follow_time.h"
#include "worker/grammar/test_vocabulary.h"

namespace quire::worker {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;
using Json = nlohmann::json;

using Compiled = absl::StatusOr<std::shared_ptr<const CompiledGrammar>>;

Compiled TryCompile(const std::string& source) {
  const Vocabulary vocabulary = SmallVocabulary();
  return XGrammarCompiler(vocabulary).Compile("structural_tag", source, vocabulary.size);
}

std::shared_ptr<const CompiledGrammar> Compile(const std::string& format) {
  const Compiled compiled = TryCompile(TagOf(format));
  EXPECT_TRUE(compiled.ok()) << compiled.status() << " of " << format;
  return *compiled;
}

std::vector<TokenId> First(const std::string& format) {
  const auto grammar = Compile(format);
  return AllowedBy(*grammar->Start(), grammar->vocab());
}

// Goes past the text, byte by byte.
bool Takes(GrammarState& state, std::string_view text) {
  for (const char byte : text) {
    if (!state.Accept(static_cast<uint8_t>(byte))) return false;
  }
  return true;
}

bool Matches(const std::string& format, std::string_view text) {
  const auto state = Compile(format)->Start();
  return Takes(*state, text) && state->CanStop();
}

constexpr const char* kTools = R"({"type":"triggered_tags","triggers":["<tool_call>"],"tags":[{"type":"tag",
    "begin":"<tool_call>","content":{"type":"json_schema","json_schema":{"type":"boolean"}},"end":"</tool_call>"}]})";

TEST(XGrammar, AddedTokensThatAreTextMatchAsText) {
  EXPECT_THAT(First(R"({"type":"const_string","value":"<tool_call>x"})"), ElementsAre('<', kToolCall, kLess));
  EXPECT_EQ(SmallVocabulary().bytes[kLess], "<");
  const auto state = Compile(kTools)->Start();
  EXPECT_TRUE(state->Accept('h'));
  EXPECT_TRUE(state->CanStop());
  EXPECT_TRUE(state->Accept(kToolCall));
  EXPECT_FALSE(state->CanStop());
  EXPECT_THAT(AllowedBy(*state, SmallVocabulary().size), Not(Contains('x')));
  EXPECT_TRUE(Takes(*state, "true"));
  EXPECT_TRUE(state->Accept(kToolCallEnd));
  EXPECT_TRUE(state->CanStop());
}

TEST(XGrammar, SpecialTokensAndIdsThatAreNoneNeverComeInText) {
  const int64_t known = std::ssize(SmallVocabulary().bytes);
  for (const char* format :
       {R"({"type":"any_text"})", R"({"type":"any_text","excludes":["q"]})", R"({"type":"any_tokens"})",
        R"({"type":"exclude_token"})", R"({"type":"regex","pattern":"(.|\n)*"})", kTools}) {
    SCOPED_TRACE(format);
    const std::vector<TokenId> ids = First(format);
    EXPECT_THAT(ids, IsSupersetOf({TokenId{'a'}, kFirstWord}));
    for (const TokenId id : {kImEnd, kPython}) EXPECT_THAT(ids, Not(Contains(id)));
    EXPECT_LT(ids.back(), known);
    const auto state = Compile(format)->Start();
    EXPECT_FALSE(state->Accept(kImEnd));
    EXPECT_FALSE(Compile(format)->Start()->Accept(static_cast<TokenId>(known)));
    EXPECT_FALSE(Compile(format)->Start()->Accept(-1));
    EXPECT_FALSE(Compile(format)->Start()->Accept(1 << 20));
  }
}

TEST(XGrammar, ASpecialTokenComesWhereItIsNamedById) {
  const std::string format =
      absl::StrCat(R"({"type":"sequence","elements":[{"type":"token","token":)", kPython,
                   R"(},{"type":"json_schema","json_schema":{"type":"null"}}]})");
  EXPECT_THAT(First(format), ElementsAre(kPython));
  const auto state = Compile(format)->Start();
  EXPECT_TRUE(state->Accept(kPython));
  EXPECT_THAT(AllowedBy(*state, SmallVocabulary().size), Not(Contains(kPython)));
  EXPECT_TRUE(Takes(*state, "null"));
  EXPECT_TRUE(state->CanStop());
  EXPECT_THAT(First(R"({"type":"token","token":65})"), ElementsAre(65));
}

TEST(XGrammar, TextOfLettersThatTokensCut) {
  const char* colours = R"({"type":"json_schema","json_schema":{"enum":["grün","日本","😀","red"]}})";
  for (const char* text : {"\"grün\"", "\"日本\"", "\"😀\"", "\"red\""})
    EXPECT_TRUE(Matches(colours, text)) << text;
  EXPECT_FALSE(Matches(colours, "\"gr\xc3\"")) << "half a letter";
  const auto state = Compile(colours)->Start();
  EXPECT_TRUE(state->Accept('"'));
  EXPECT_TRUE(state->Accept(kEmoji));  // the first half of an emoji
  EXPECT_THAT(AllowedBy(*state, SmallVocabulary().size), ElementsAre(0x98, kEmoji + 1));
  EXPECT_TRUE(state->Accept(kEmoji + 1));
  EXPECT_TRUE(Takes(*state, "\""));
  EXPECT_TRUE(state->CanStop());
  EXPECT_TRUE(Matches(R"({"type":"regex","pattern":"[äöü]{2}€"})", "üä€"));
  EXPECT_FALSE(Matches(R"({"type":"regex","pattern":"[äöü]{2}€"})", "ü€"));
}

TEST(XGrammar, SchemasKeepTheirWords) {
  const std::string object = R"({"type":"json_schema","json_schema":{"type":"object","properties":
      {"b":{"type":"integer"},"a":{"$ref":"#/$defs/s"}},"required":["b","a"],"additionalProperties":false,
      "$defs":{"s":{"type":"array","items":{"type":"string"}}}}})";
  EXPECT_TRUE(Matches(object, R"({"b": 12, "a": ["x", "é"]})"));
  EXPECT_FALSE(Matches(object, R"({"a": [], "b": 1})")) << "their order is the schema's";
  EXPECT_FALSE(Matches(object, R"({"b": 1})"));
  const std::string tree =
      R"({"type":"json_schema","json_schema":{"$ref":"#/$defs/n","$defs":{"n":{"type":"object",
      "properties":{"v":{"type":"integer"},"l":{"$ref":"#/$defs/n"}},"required":["v"]}}}})";
  EXPECT_TRUE(Matches(tree, R"({"v": 1, "l": {"v": 2, "l": {"v": 3}}})"));
}

TEST(XGrammar, SaysWhatIsWrong) {
  const std::pair<std::string, const char*> cases[] = {
      {TagOf(R"({"type":"no_such"})"), "no_such"},
      {TagOf(R"({"type":"grammar","grammar":"root ::= nowhere"})"), "nowhere"},
      {TagOf(R"({"type":"regex","pattern":"(a"})"), "egex"},
      {TagOf(R"({"type":"token","token":100000})"), "100000"},
      {SchemaTag(R"({"type":"string","minLength":9,"maxLength":3})"), "minLength"},
      {SchemaTag(R"({"$ref":"#/$defs/gone"})"), "gone"},
      {"{}", "format"},
      {"\"", "no JSON object"}};
  for (const auto& [source, message] : cases) {
    const absl::Status status = TryCompile(source).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << source;
    EXPECT_THAT(std::string(status.message()), HasSubstr("grammar: "));
    EXPECT_THAT(std::string(status.message()), HasSubstr(message)) << source;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(".cc")))
        << "whose file that is, is nobody's business";
  }
  const Vocabulary vocabulary = SmallVocabulary();
  const XGrammarCompiler compiler(vocabulary);
  EXPECT_THAT(compiler.Compile("regex", "a", vocabulary.size).status().message(), HasSubstr("kind"));
}

TEST(XGrammar, WhatItSaysIsShortAndPlain) {
  const absl::Status status =
      TryCompile(TagOf("{\"type\":\"\\u0000\\u00e9" + std::string(5000, 'x') + "\"}")).status();
  EXPECT_LT(status.message().size(), 400u);
  for (const char c : status.message()) EXPECT_TRUE(c >= ' ' && c <= '~') << static_cast<int>(c);
}

TEST(XGrammar, ATokenizerThatCannotBeReadRefusesAndSaysWhy) {
  const XGrammarCompiler compiler(absl::InvalidArgumentError("tokenizer.json: model.type is Unigram"));
  const absl::Status status = compiler.Compile("structural_tag", "{}", 10).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Unigram"));
  EXPECT_FALSE(ReadVocabulary("{}", 10).ok());
}

// ---- hostile sources ----

std::string Repeated(std::string_view part, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += part;
  return all;
}

std::string Grammar(const std::string& ebnf) {
  return TagOf(Json{{"type", "grammar"}, {"grammar", ebnf}}.dump());
}
std::string Regex(const std::string& pattern) {
  return TagOf(Json{{"type", "regex"}, {"pattern", pattern}}.dump());
}

std::string AnyOfTree(int depth) {
  std::string schema = R"({"type":"string"})";
  for (int i = 0; i < depth; ++i)
    schema = absl::StrCat(R"({"anyOf":[)", Repeated(schema + ",", 3), schema, "]}");
  return SchemaTag(schema);
}

TEST(XGrammarBounds, WhatIsTooLargeIsRefused) {
  std::vector<std::string> values, fields, watched;
  for (int i = 0; i < 20'000; ++i) values.push_back(absl::StrCat("\"value", i, "\""));
  for (int i = 0; i < 2500; ++i) fields.push_back(absl::StrCat("\"p", i, R"(":{"type":"integer"})"));
  for (int i = 0; i < 300; ++i) watched.push_back(absl::StrCat("\"ex", i, "\""));
  const std::pair<const char*, std::string> cases[] = {
      {"a huge enum", SchemaTag(absl::StrCat(R"({"enum":[)", absl::StrJoin(values, ","), "]}"))},
      {"a huge constant", SchemaTag("{\"const\":\"" + std::string(900'000, 'x') + "\"}")},
      {"many fields",
       SchemaTag(absl::StrCat(R"({"type":"object","properties":{)", absl::StrJoin(fields, ","), "}}"))},
      {"many excludes",
       TagOf(absl::StrCat(R"({"type":"any_text","excludes":[)", absl::StrJoin(watched, ","), "]}"))},
      {"many sets", Grammar("root ::= " + Repeated("[a-z]", 13'000))},
      {"many sets and repetitions", Grammar("root ::= " + Repeated("[a-z]{9} [0-9] ", 500))},
      {"a long repetition", Regex("[a-z]{0,129}")},
      {"an automaton", Grammar("root ::= Regex(\"[a-z]\")")},
      {"a dispatch", Grammar("root ::= TagDispatch((\"x\", r))\nr ::= \"a\"")},
      {"a token dispatch", Grammar("root ::= TokenTagDispatch((5, r))\nr ::= \"a\"")},
      {"substrings", Grammar("root ::= Substring(\"abc\")")},
      {"an untyped one", TagOf(Json{{"grammar", "root ::= Substring(\"abc\")"}}.dump())},
      {"many repetitions", Regex(Repeated("[a-z]{1,300}x", 20))},
      {"deep JSON", std::string(200'000, '[')},
      {"deep formats",
       TagOf(Repeated(R"({"type":"optional","content":)", 20'000) + "{}" + std::string(20'000, '}'))},
      {"a deep schema",
       SchemaTag(Repeated(R"({"type":"array","items":)", 20'000) + "{}" + std::string(20'000, '}'))},
      {"a deep regex", Regex(std::string(20'000, '(') + "a" + std::string(20'000, ')'))},
      {"deep EBNF", Grammar("root ::= " + std::string(20'000, '(') + "\"a\"" + std::string(20'000, ')'))},
      {"a tree of choices", AnyOfTree(7)}};
  for (const auto& [what, source] : cases) {
    EXPECT_EQ(TryCompile(source).status().code(), absl::StatusCode::kInvalidArgument) << what;
  }
}

TEST(XGrammarBounds, WhatTheGatewayMakesIsTaken) {
  std::string string = "root ::= \"\\\"\" q1\n", object = "root ::= \"{\" c1\n";
  for (int i = 1; i <= 400; ++i) {
    absl::StrAppend(&string, "q", i, R"( ::= "\"" | [ !#-\[\u005D-\uD7FF\uE000-\U0010FFFF] q)", i + 1,
                    " | escape q", i + 1, "\n");
  }
  string += R"(q401 ::= "\""
escape ::= "\\" (["\\bfnrt] | "u00" ("0" [0-7bef] | "1" [0-9a-f])))";
  for (int i = 1; i <= 1000; ++i) {
    absl::StrAppend(&object, "c", i, " ::= \"p", i, ":\" v", i, " c", i + 1, "\nv", i, " ::= text\n");
  }
  object += "c1001 ::= \"}\"\ntext ::= [a-z]*\n";
  for (const std::string& ebnf : {string, object}) {
    const absl::Status status = TryCompile(Grammar(ebnf)).status();
    EXPECT_TRUE(status.ok()) << status;
  }
}

size_t HeapBytes() {
  const struct mallinfo2 heap = mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

// xgrammar's own cache counts no source, and forgets none that it refused.
TEST(XGrammarBounds, NoSourceIsKeptForEver) {
  const Vocabulary vocabulary = SmallVocabulary();
  const XGrammarCompiler compiler(vocabulary, /*cache_bytes=*/1 << 20);
  const size_t before = HeapBytes();
  for (int i = 0; i < 200; ++i) {
    const std::string source = Grammar(absl::StrCat("root ::= Token(99999) # ", i, std::string(40'000, 'x')));
    EXPECT_EQ(compiler.Compile("structural_tag", source, vocabulary.size).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_LT(HeapBytes(), before + (size_t{4} << 20));
}

TEST(FollowTime, IsSoMuchForEachToken) {
  FollowTime cheap(FollowTime::kFreeUs), dear(FollowTime::kFreeUs), saved(FollowTime::kFreeUs);
  int tokens = 0;
  for (bool enough = true; enough; ++tokens) {
    dear.NextToken();
    enough = dear.Spend(10) && dear.Spend(3'000);
  }
  EXPECT_EQ(tokens, 100);  // 2.01 ms each beyond its own
  for (int i = 0; i < 30'000; ++i) {
    cheap.NextToken();
    ASSERT_TRUE(cheap.Spend(900));
    saved.NextToken();
  }
  EXPECT_TRUE(saved.Spend(FollowTime::kCallUs));
  EXPECT_FALSE(saved.Spend(FollowTime::kCallUs + 1)) << "whatever is left";
}

// They may be refused, or followed for long; whatever they are, in the end there is an end.
TEST(XGrammarBounds, WhatIsFollowedNeverRunsAway) {
  const std::string sources[] = {Regex("[a-z]{1,10000}"),
                                 Regex("((((a{1,100}){1,100}){1,100}){1,100}"),
                                 Regex("(((a{1,50}){1,50}){1,50}){1,50}"),
                                 Regex(Repeated("(a|a|aa|aaa)*", 10)),
                                 Regex(".*a.{15}"),
                                 Regex(Repeated("(.*a.*b.*c.*)", 5)),
                                 Grammar("root ::= root root | \"a\" | \"\""),
                                 Grammar("root ::= root root root | \"a\" | [a-z]+"),
                                 Grammar("root ::= ((\"a\" | \"b\"){1,1000} | \"c\"){1,1000}"),
                                 SchemaTag(R"({"type":"string","maxLength":1000000000})"),
                                 SchemaTag(R"({"type":"array","minItems":100000,"items":{"type":"number"}})"),
                                 SchemaTag(R"({"$ref":"#"})"),
                                 AnyOfTree(4)};
  std::mt19937 random(1);
  for (const std::string& source : sources) {
    SCOPED_TRACE(source.substr(0, 120));
    const Compiled grammar = TryCompile(source);
    if (!grammar.ok()) {
      EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument) << grammar.status();
      continue;
    }
    const auto state = (*grammar)->Start();
    for (int i = 0; i < 80 && state->status().ok(); ++i) {
      const std::vector<TokenId> ids = AllowedBy(*state, (*grammar)->vocab());
      if (ids.empty()) break;
      state->Accept(ids[random() % ids.size()]);
    }
  }
}

}  // namespace
}  // namespace quire::worker
