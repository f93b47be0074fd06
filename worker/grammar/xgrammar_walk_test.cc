// Texts that are made by walking grammars at random, by their masks alone: each is what its schema asks for;
// and a mask lets come exactly the ids that are accepted. Over the small vocabulary, and over those of real
// models where they have been fetched.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "base/core/files.h"
#include "worker/grammar/test_vocabulary.h"

namespace quire::worker {
namespace {

using WalkJson = nlohmann::json;

struct WalkCase {
  const char* name;
  const char* schema;
  std::function<bool(const WalkJson&)> holds;
  bool strings = false;  // of any text
};

const std::vector<WalkCase>& Cases() {
  static const std::vector<WalkCase>& cases = *new std::vector<WalkCase>{
      {"object",
       R"({"type":"object","properties":{"name":{"type":"string"},"ok":{"type":"boolean"},"n":{"type":"integer"}},
           "required":["name","ok"],"additionalProperties":false})",
       [](const WalkJson& v) {
         return v.is_object() && v.at("name").is_string() && v.at("ok").is_boolean() && v.size() <= 3 &&
                (!v.contains("n") || v.at("n").is_number_integer());
       },
       true},
      {"enum of other letters", R"({"enum":["grün","日本","😀",null,12]})",
       [](const WalkJson& v) {
         return std::set<WalkJson>{"grün", "日本", "😀", nullptr, 12}.contains(v);
       }},
      {"array",
       R"({"type":"array","items":{"type":"integer","minimum":-3,"maximum":40},"minItems":2,"maxItems":4})",
       [](const WalkJson& v) {
         for (const WalkJson& n : v) {
           if (n < -3 || n > 40) return false;
         }
         return v.size() >= 2 && v.size() <= 4;
       }},
      {"pattern", R"({"type":"string","pattern":"^[äöü]{1,3}-[0-9]{2}$"})",
       [](const WalkJson& v) {
         const std::string text = v;
         const size_t dash = text.find('-');
         return dash >= 2 && dash <= 6 && dash % 2 == 0 && text.size() == dash + 3;
       }},
      {"any of",
       R"({"anyOf":[{"type":"null"},{"type":"object","properties":{"kind":{"const":"x"}},"required":["kind"]}]})",
       [](const WalkJson& v) { return v.is_null() || v.at("kind") == "x"; }, true},
      {"recursive",
       R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"boolean"},
           "l":{"$ref":"#/$defs/n"}},"required":["v"],"additionalProperties":false}}})",
       [](const WalkJson& v) {
         const WalkJson* at = &v;
         for (; at->contains("l"); at = &at->at("l")) {
           if (!at->at("v").is_boolean()) return false;
         }
         return at->at("v").is_boolean();
       }},
      {"mixed", R"({"type":"array","items":{"type":["string","boolean","null"]}})",
       [](const WalkJson& v) { return v.is_array(); }, true}};
  return cases;
}

// Half of a pair, escaped or not, which xgrammar's JSON allows and this parser doesn't, is another letter.
std::string WithoutSurrogates(std::string text) {
  for (size_t at = 0; (at = text.find('\\', at)) != std::string::npos; at += 2) {
    if (at + 2 < text.size() && text[at + 1] == 'u' && (text[at + 2] == 'd' || text[at + 2] == 'D'))
      text[at + 2] = '1';
  }
  for (size_t at = 0; at + 2 < text.size(); ++at) {
    if (text[at] == '\xed' && static_cast<uint8_t>(text[at + 1]) >= 0xa0) text[at + 1] = '\x80';
  }
  return text;
}

// Of random tokens few end a string, and of many fewer.
void ExpectWalks(const Vocabulary& vocabulary, int walks, int tokens, bool strings) {
  const XGrammarCompiler compiler(vocabulary);
  std::mt19937 random(7);
  for (const WalkCase& one : Cases()) {
    if (one.strings && !strings) continue;
    SCOPED_TRACE(one.name);
    const auto grammar = compiler.Compile("structural_tag", SchemaTag(one.schema), vocabulary.size);
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    int whole = 0;
    for (int i = 0; i < walks; ++i) {
      const auto text = Walk(**grammar, vocabulary, random, tokens);
      if (!text) continue;
      ++whole;
      const WalkJson value = WalkJson::parse(WithoutSurrogates(*text), nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << *text;
      EXPECT_TRUE(one.holds(value)) << *text;
    }
    EXPECT_GT(whole, 0);
  }
}

TEST(XGrammarWalk, TextsAreWhatTheSchemaAsksFor) { ExpectWalks(SmallVocabulary(), 200, 400, true); }

TEST(XGrammarWalk, AlsoOverTheVocabulariesOfModels) {
  for (const char* model : {"qwen2", "smollm2"}) {
    SCOPED_TRACE(model);
    const std::string path = absl::StrCat("build/testdata/text/", model, "/tokenizer.json");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "scripts/fetch-test-vocabularies fetches " << path;
    const auto json = ReadWholeFile(path);
    ASSERT_TRUE(json.ok()) << json.status();
    const auto vocabulary = ReadVocabulary(*json, 152'064);
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
    ASSERT_FALSE(vocabulary->special.empty());
    ExpectWalks(*vocabulary, 20, 200, false);
  }
}

// At each place of a walk every id is tried, each by a state of its own.
TEST(XGrammarWalk, AMaskLetsComeWhatIsAcceptedAndNothingElse) {
  const Vocabulary vocabulary = SmallVocabulary();
  const XGrammarCompiler compiler(vocabulary);
  std::mt19937 random(3);
  std::vector<std::string> sources;
  for (const WalkCase& one : Cases()) sources.push_back(SchemaTag(one.schema));
  sources.push_back(TagOf(R"({"type":"any_text","excludes":["</think>"]})"));
  sources.push_back(TagOf(R"({"type":"regex","pattern":"(ä|😀|a){3,9}"})"));
  sources.push_back(
      TagOf(absl::StrCat(R"({"type":"sequence","elements":[{"type":"any_tokens","exclude_tokens":[65,)",
                         kPython, R"(]},{"type":"token","token":)", kPython, "}]}")));
  for (const std::string& source : sources) {
    SCOPED_TRACE(source);
    const auto grammar = compiler.Compile("structural_tag", source, vocabulary.size);
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    std::vector<TokenId> path;
    Walk(**grammar, vocabulary, random, 12, &path);
    for (size_t made = 0; made <= path.size(); ++made) {
      const auto replay = [&] {
        auto state = (*grammar)->Start();
        for (size_t i = 0; i < made; ++i) state->Accept(path[i]);
        return state;
      };
      const std::vector<TokenId> allowed = AllowedBy(*replay(), vocabulary.size);
      const std::set<TokenId> let_come(allowed.begin(), allowed.end());
      for (TokenId id = 0; id < vocabulary.size; ++id) {
        ASSERT_EQ(replay()->Accept(id), let_come.contains(id)) << "id " << id << " after " << made;
      }
    }
  }
}

}  // namespace
}  // namespace quire::worker
