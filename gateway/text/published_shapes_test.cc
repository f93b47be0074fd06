// Tokenizer files with all that Qwen2.5, QwQ and Llama 3 publish around their vocabularies, which are small
// here (tests/golden/record_shapes.py), against the ids of the tokenizers library.
#include <gmock/gmock.h>

#include <algorithm>

#include "gateway/text/testdata.h"
#include "gateway/text/tokenizer.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;
using ::testing::ElementsAre;
using testing::Recording;
using Ids = std::vector<TokenId>;

std::unique_ptr<const Tokenizer> Make(const ordered_json& file) {
  return Tokenizer::Create(file.dump(), "{}").value();
}

class ShapeTest : public ::testing::TestWithParam<std::string> {
 protected:
  const ordered_json file_ = Recording("shapes/" + GetParam() + ".json");
  const ordered_json recorded_ = Recording("shapes/" + GetParam() + "_tokens.json");
};

INSTANTIATE_TEST_SUITE_P(All, ShapeTest, ::testing::Values("qwen2.5", "qwq", "llama3"), [](const auto& info) {
  std::string name = info.param;
  std::erase(name, '.');
  return name;
});

void ExpectIds(const Tokenizer& tokenizer, const ordered_json& recorded) {
  for (const ordered_json& encoding : recorded["encodings"]) {
    const std::string text = encoding["text"];
    const Ids as_template = encoding["template"].get<Ids>();
    const Ids as_user = encoding.contains("user") ? encoding["user"].get<Ids>() : as_template;
    EXPECT_EQ(tokenizer.Encode(text, Origin::kTemplate).value(), as_template) << text;
    EXPECT_EQ(tokenizer.Encode(text, Origin::kUser).value(), as_user) << text;
  }
}

TEST_P(ShapeTest, IdsEqualHuggingFaces) {
  const auto tokenizer = Make(file_);
  ExpectIds(*tokenizer, recorded_);
  const auto prefix = tokenizer->prefix_ids();
  EXPECT_EQ(Ids(prefix.begin(), prefix.end()), recorded_["prefix"].get<Ids>());
}

// Flagged special or not, an added token is the template's alone.
TEST_P(ShapeTest, UserTextNeverGivesAddedTokens) {
  const auto tokenizer = Make(file_);
  for (const ordered_json& token : file_["added_tokens"]) {
    const std::string content = token["content"];
    EXPECT_THAT(tokenizer->Encode(content, Origin::kTemplate).value(),
                ElementsAre(token["id"].get<TokenId>()));
    EXPECT_EQ(tokenizer->AddedToken(content), token["id"].get<TokenId>());
    const Ids as_user = tokenizer->Encode("x " + content + "\n" + content, Origin::kUser).value();
    for (const TokenId id : as_user) {
      EXPECT_FALSE(tokenizer->IsControl(id)) << content;
    }
  }
}

// What files in the wild also do; none of it may change an id.
TEST_P(ShapeTest, OddFilesGiveTheSameIds) {
  ordered_json reversed = file_;
  std::reverse(reversed["added_tokens"].begin(), reversed["added_tokens"].end());
  ExpectIds(*Make(reversed), recorded_);

  ordered_json other_merges = file_;
  for (ordered_json& merge : other_merges["model"]["merges"]) {
    if (merge.is_array()) {
      merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    } else {
      const std::string text = merge;
      const size_t space = text.find(' ');
      merge = {text.substr(0, space), text.substr(space + 1)};
    }
  }
  ExpectIds(*Make(other_merges), recorded_);

  ordered_json in_vocabulary = file_;  // as some converters write them: once more among the ordinary tokens
  for (const ordered_json& token : file_["added_tokens"]) {
    in_vocabulary["model"]["vocab"][token["content"].get<std::string>()] = token["id"];
  }
  ExpectIds(*Make(in_vocabulary), recorded_);
}

TEST_P(ShapeTest, IdsMayHaveHoles) {
  constexpr TokenId kHole = 1000;
  ordered_json holed = file_;
  for (ordered_json& token : holed["added_tokens"]) token["id"] = token["id"].get<TokenId>() + kHole;
  holed["post_processor"] = nullptr;
  const auto tokenizer = Make(holed);
  const TokenId last = file_["added_tokens"].back()["id"].get<TokenId>() + kHole;
  EXPECT_EQ(tokenizer->vocabulary_size(), last + 1);
  EXPECT_THAT(tokenizer->Encode(file_["added_tokens"].back()["content"].get<std::string>(), Origin::kTemplate)
                  .value(),
              ElementsAre(last));
  EXPECT_EQ(tokenizer->BytesOf(static_cast<TokenId>(file_["model"]["vocab"].size()) + 5), "")
      << "a hole has no text";
}

}  // namespace
}  // namespace quire::gateway
