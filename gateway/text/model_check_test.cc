#include "gateway/text/model_check.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "base/core/status.h"

namespace quire::gateway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ModelCheck : public ::testing::Test {
 protected:
  ModelCheck() {
    std::filesystem::create_directories(folder_);
    Write("tokenizer.json",
          R"({"model": {"type": "BPE", "vocab": {"H": 0, "e": 1, "l": 2, "o": 3, "!": 4}, "merges": []},
              "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
              "decoder": {"type": "ByteLevel"},
              "added_tokens": [{"id": 5, "content": "<e>", "special": true}]})");
    Write("tokenizer_config.json", R"({"eos_token": "<e>", "chat_template": "{{ messages[0].content }}"})");
  }
  ~ModelCheck() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }
  std::string Problem() const { return MessageOf(CheckModelFolder(folder_.string()).status()); }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) /
      ("quire-model-check-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + "-" +
       ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(ModelCheck, AWholeFolderPasses) {
  EXPECT_EQ(*CheckModelFolder(folder_.string()),
            "OK: " + folder_.string() + ": a tokenizer of 6 ids, a chat template");
}

TEST_F(ModelCheck, AModelThatCantChatIsRefused) {
  Write("tokenizer_config.json", "{}");
  EXPECT_THAT(Problem(), HasSubstr("no chat template"));
  std::filesystem::remove(folder_ / "tokenizer_config.json");
  EXPECT_THAT(Problem(), AllOf(HasSubstr("no chat template"), HasSubstr("tokenizer_config.json")));
  Write("chat_template.jinja", "{{ messages[0].content }}");
  EXPECT_EQ(Problem(), "") << "where its template stands is its own affair";
}

// As a download that was cut off leaves it.
TEST_F(ModelCheck, AnEmptyFileIsNotAnAbsentOne) {
  for (const char* name : {"generation_config.json", "chat_template.jinja", "config.json",
                           "tokenizer_config.json", "tokenizer.json"}) {
    Write(name, "");
    EXPECT_THAT(Problem(), AllOf(HasSubstr(name), HasSubstr("empty")));
    std::filesystem::remove(folder_ / name);
  }
}

TEST_F(ModelCheck, NamesTheFileAndThePlace) {
  Write("chat_template.jinja", "a\n{% if %}");
  EXPECT_THAT(Problem(), HasSubstr("chat_template.jinja: chat template, line 2"));
  Write("chat_template.jinja", "a\n{{ messages[0].nothing.x }}");
  EXPECT_THAT(Problem(),
              AllOf(HasSubstr("chat_template.jinja"), HasSubstr("line 2"), HasSubstr("'nothing'")));
  Write("chat_template.jinja", "{{ messages | nosuchfilter }}");
  EXPECT_THAT(Problem(), HasSubstr("nosuchfilter"));
  Write("chat_template.jinja", "{{ '' }}");
  EXPECT_THAT(Problem(), AllOf(HasSubstr("chat_template.jinja"), HasSubstr("empty")));
  std::filesystem::remove(folder_ / "chat_template.jinja");
  Write("tokenizer_config.json", R"({"chat_template": "{% if %}"})");
  EXPECT_THAT(Problem(), HasSubstr("tokenizer_config.json: chat template, line 1"));
  Write("chat_template.jinja", "ok");
  Write("generation_config.json", R"({"temperature": "hot"})");
  EXPECT_THAT(Problem(), AllOf(HasSubstr("generation_config.json"), HasSubstr("temperature")));
  Write("generation_config.json", R"({"eos_token_id": 99})");
  EXPECT_THAT(Problem(), HasSubstr("eos_token_id 99"));
  Write("generation_config.json", "{}");
  Write("config.json", R"({"vocab_size": 5})");
  EXPECT_THAT(Problem(), AllOf(HasSubstr("ids up to 5"), HasSubstr("vocab_size is 5")));
  Write("config.json", R"({"vocab_size": 6})");
  EXPECT_EQ(Problem(), "");
  Write("tokenizer.json", "{");
  EXPECT_THAT(Problem(), HasSubstr("tokenizer.json"));
  std::filesystem::remove(folder_ / "tokenizer.json");
  EXPECT_THAT(Problem(), HasSubstr("tokenizer.json"));
  EXPECT_THAT(MessageOf(CheckModelFolder("/no/such/folder").status()), HasSubstr("no such folder"));
}

TEST_F(ModelCheck, ATextMustComeBackFromItsIds) {
  Write("tokenizer.json",
        R"({"model": {"type": "BPE", "vocab": {"H": 0, "e": 1, "l": 2, "!": 3}, "merges": []},
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
            "decoder": {"type": "ByteLevel"}, "added_tokens": []})");
  EXPECT_THAT(Problem(), AllOf(HasSubstr("tokenizer.json"), HasSubstr("Hell!")));
}

TEST_F(ModelCheck, AFolderThatCantBeLookedAtIsNamed) {
  std::filesystem::create_symlink("loop", folder_ / "loop");
  EXPECT_THAT(MessageOf(CheckModelFolder((folder_ / "loop").string()).status()),
              AllOf(HasSubstr("loop"), HasSubstr("can't be looked at")));
}

}  // namespace
}  // namespace quire::gateway
