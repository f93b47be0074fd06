#include "gateway/text/text_model.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <iterator>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/testdata.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;
using ::testing::ElementsAre;
using testing::FetchedFile;
using ::testing::HasSubstr;
using testing::Recording;

void AddFile(v1::TextBundle& bundle, const std::string& name, const std::string& content) {
  v1::TextFile* file = bundle.add_files();
  file->set_name(name);
  file->set_content(content);
}

v1::TextBundle VocabularyBundle(const std::string& vocabulary) {
  v1::TextBundle bundle;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    AddFile(bundle, name, FetchedFile(vocabulary + "/" + name));
  }
  return bundle;
}

// A vocabulary of two letters and three added tokens, with no template.
v1::TextBundle TinyBundle() {
  v1::TextBundle bundle;
  AddFile(bundle, "tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    "added_tokens": [{"id": 2, "content": "<end>", "special": true}, {"id": 3, "content": "<think>"},
                     {"id": 4, "content": "</think>"}],
    "pre_tokenizer": {"type": "ByteLevel", "use_regex": false}, "decoder": {"type": "ByteLevel"}})");
  return bundle;
}

// What a request does, for one user's turn.
absl::StatusOr<std::vector<TokenId>> EncodeChat(const TextModel& model, const std::string& content) {
  const ChatTurn turn{"user", content};
  const auto prompt = model.RenderChat({&turn, 1});
  if (!prompt.ok()) return prompt.status();
  return model.tokenizer().Encode(*prompt);
}

// Rendering and encoding together, against the ids that Hugging Face gives the same conversations.
TEST(TextModel, ChatIdsEqualHuggingFaces) {
  const ordered_json conversations = Recording("conversations.json");
  const ordered_json recorded = Recording("chat_ids.json");
  const std::pair<const char*, const char*> models[] = {
      {"smollm2", nullptr}, {"qwen2", "qwen2.5"}, {"llama3", "llama3.1"}};
  for (const auto& [vocabulary, chat_template] : models) {
    v1::TextBundle bundle = VocabularyBundle(vocabulary);
    if (chat_template != nullptr) {
      AddFile(bundle, "chat_template.jinja",
              FetchedFile(absl::StrCat("templates/", chat_template, ".jinja")));
    }
    const auto model = TextModel::Create(bundle).value();
    for (size_t i = 0; i < conversations.size(); ++i) {
      if (recorded[vocabulary][i].is_null()) continue;
      const ordered_json& request = conversations[i];
      ordered_json extra = request.value("extra", ordered_json::object());
      extra["date_string"] = "26 Jul 2024";
      const auto prompt =
          model->chat_template()->Render(request["messages"], request.value("tools", ordered_json()),
                                         request.value("add_generation_prompt", true), extra);
      ASSERT_TRUE(prompt.ok()) << prompt.status();
      const auto ids = model->tokenizer().Encode(*prompt);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(*ids, recorded[vocabulary][i].get<std::vector<TokenId>>()) << vocabulary << " " << i;
    }
  }
}

// C.6 #48: each control token's literal in a message gives no control token more than a harmless message
// does.
TEST(TextModel, LiteralsInMessagesGiveNoControlTokens) {
  const auto model = TextModel::Create(VocabularyBundle("smollm2")).value();
  const auto controls = [&](const std::string& content) {
    std::vector<TokenId> found;
    const auto ids = EncodeChat(*model, content).value();
    std::copy_if(ids.begin(), ids.end(), std::back_inserter(found),
                 [&](TokenId id) { return model->tokenizer().IsControl(id); });
    return found;
  };
  const std::vector<TokenId> usual = controls("Hello");
  EXPECT_THAT(usual, ElementsAre(1, 2, 1, 2, 1));
  for (TokenId id = 0; id < model->tokenizer().vocabulary_size(); ++id) {
    if (!model->tokenizer().IsControl(id)) continue;
    EXPECT_EQ(controls(std::string(model->tokenizer().BytesOf(id))), usual);
  }
}

// One model serves all requests: its const calls may run at once (ThreadSanitizer watches).
TEST(TextModel, ManyThreadsShareAModel) {
  const auto model = TextModel::Create(VocabularyBundle("smollm2")).value();
  const std::string content = "Hé, 12 apples?\n\n  ok";
  const auto expected = EncodeChat(*model, content).value();
  std::vector<std::thread> threads;
  std::vector<int> equal(4);
  for (int& count : equal) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) count += *EncodeChat(*model, content) == expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(equal, ElementsAre(50, 50, 50, 50));
}

TEST(TextModel, ReadsTheCheckpointsValues) {
  v1::TextBundle bundle = TinyBundle();
  AddFile(bundle, "config.json", R"({"eos_token_id": 1})");
  AddFile(bundle, "tokenizer_config.json", R"({"eos_token": {"content": "<end>"}, "chat_template": "x"})");
  auto model = TextModel::Create(bundle).value();
  EXPECT_THAT(model->eos_ids(), ElementsAre(1, 2));
  EXPECT_EQ(model->defaults().temperature, 1);
  EXPECT_EQ(model->think_start_id(), 3);
  EXPECT_EQ(model->think_end_id(), 4);
  EXPECT_NE(model->chat_template(), nullptr);

  AddFile(bundle, "generation_config.json", R"({"eos_token_id": [4, 0], "do_sample": true, "temperature": 0.6,
                                                "top_p": 0.95, "top_k": 40, "repetition_penalty": 1.05})");
  model = TextModel::Create(bundle).value();
  EXPECT_THAT(model->eos_ids(), ElementsAre(0, 2, 4));
  EXPECT_FLOAT_EQ(model->defaults().temperature, 0.6f);
  EXPECT_FLOAT_EQ(model->defaults().top_p, 0.95f);
  EXPECT_EQ(model->defaults().top_k, 40);
  EXPECT_FLOAT_EQ(model->defaults().repetition_penalty, 1.05f);

  bundle.mutable_files()->rbegin()->set_content(R"({"do_sample": false, "temperature": 0.6})");
  EXPECT_EQ(TextModel::Create(bundle).value()->defaults().temperature, 1);
}

TEST(TextModel, ACheckpointNeedsNoTemplate) {
  EXPECT_EQ(TextModel::Create(TinyBundle()).value()->chat_template(), nullptr);
}

TEST(TextModel, AnAssistantsLastTurnIsContinuedAfterTheGenerationPrompt) {
  v1::TextBundle bundle = TinyBundle();
  AddFile(bundle, "chat_template.jinja",
          "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
          "{% if add_generation_prompt %}[assistant]{% endif %}");
  const auto model = TextModel::Create(bundle).value();
  const ChatTurn turns[] = {{"user", "a"}, {"assistant", "<end>"}};
  const OriginText prompt = model->RenderChat(turns).value();
  EXPECT_EQ(prompt.text(), "[user]a[assistant]<end>");
  EXPECT_EQ(prompt.OriginAt(prompt.size() - 1), Origin::kUser);
  EXPECT_EQ(model->RenderChat(std::span(turns).first(1)).value().text(), "[user]a[assistant]");
}

TEST(TextModel, ErrorsNameTheField) {
  const auto error = [](const std::string& name, const std::string& content) {
    v1::TextBundle bundle = TinyBundle();
    AddFile(bundle, name, content);
    return MessageOf(TextModel::Create(bundle).status());
  };
  EXPECT_THAT(MessageOf(TextModel::Create(v1::TextBundle()).status()), HasSubstr("no tokenizer.json"));
  EXPECT_THAT(error("config.json", "{"), HasSubstr("config.json is not valid JSON"));
  EXPECT_THAT(error("config.json", R"({"eos_token_id": "x"})"), HasSubstr("config.json: eos_token_id"));
  EXPECT_THAT(error("config.json", R"({"eos_token_id": 5})"),
              HasSubstr("eos_token_id 5 is not in tokenizer.json"));
  EXPECT_THAT(error("config.json", R"({"eos_token_id": -1})"), HasSubstr("config.json: eos_token_id"));
  EXPECT_THAT(error("generation_config.json", R"({"temperature": "hot"})"),
              HasSubstr("generation_config.json: temperature"));
  EXPECT_THAT(error("generation_config.json", R"({"top_p": 2})"), HasSubstr("generation_config.json: top_p"));
  EXPECT_THAT(error("tokenizer_config.json", R"({"eos_token": 1})"), HasSubstr("eos_token"));
  EXPECT_THAT(error("tokenizer_config.json", R"({"chat_template": "{% if %}"})"),
              HasSubstr("chat template, line 1"));
}

}  // namespace
}  // namespace quire::gateway
