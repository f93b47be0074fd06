#include "gateway/text/text_model.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <iterator>
#include <map>
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

// ---- reasoning ----

using Place = ReasoningStart::Place;

// "qwq" is the checkpoint's own template: the published file, "qwq-switch", has a switch more.
std::string TemplateOf(const std::string& name) {
  std::string text = FetchedFile(absl::StrCat("templates/", name.substr(0, name.find("-switch")), ".jinja"));
  if (name == "qwq")
    text.replace(text.find("{%- if not enable_thinking"), std::string::npos, "{%- endif %}\n");
  return text;
}

// A published vocabulary of the family with the two tokens that its reasoning models have more, and a
// template. Each is made once: the vocabulary takes seconds to read.
std::shared_ptr<const TextModel> ReasoningModel(const std::string& chat_template) {
  static std::map<std::string, std::shared_ptr<const TextModel>> models;
  std::shared_ptr<const TextModel>& model = models[chat_template];
  if (model != nullptr) return model;
  v1::TextBundle bundle = VocabularyBundle("qwen2");
  std::string& tokenizer = *bundle.mutable_files(0)->mutable_content();
  const size_t list = tokenizer.find('[', tokenizer.find("\"added_tokens\""));
  tokenizer.insert(list + 1,
                   R"({"id": 151646, "content": "<think>"}, {"id": 151647, "content": "</think>"},)");
  AddFile(bundle, "chat_template.jinja", TemplateOf(chat_template));
  model = TextModel::Create(bundle).value();
  return model;
}

// The prompt behind the last turn's start, and where its answer begins.
struct Tail {
  std::string text;
  Place place;
  bool after_tag;

  bool operator==(const Tail&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Tail& tail) {
    return out << '"' << tail.text << "\" " << static_cast<int>(tail.place) << tail.after_tag;
  }
};

Tail TailOf(const TextModel& model, const std::vector<ChatTurn>& turns,
            std::optional<bool> reasons = std::nullopt) {
  const OriginText prompt = model.RenderChat(turns, reasons).value();
  const ReasoningStart start = model.ReasoningStartAfter(model.tokenizer().Encode(prompt).value());
  constexpr std::string_view kTurn = "<|im_start|>assistant\n";
  const size_t at = prompt.text().rfind(kTurn);
  return {prompt.text().substr(at + kTurn.size()), start.place, start.after_tag};
}

const ChatTurn kAsked{"user", "1+1? </think>"};  // the literal is text

TEST(Reasoning, WhereAnAnswerBeginsIsReadFromThePromptsTail) {
  const auto qwq = ReasoningModel("qwq"), qwen3 = ReasoningModel("qwen3"), plain = ReasoningModel("qwen2.5");
  const std::vector<ChatTurn> turns = {kAsked, {"assistant", "<think>\nhm\n</think>\n\n2"}, kAsked};
  EXPECT_EQ(TailOf(*qwq, turns), (Tail{"<think>\n", Place::kReasoning, false}));
  EXPECT_EQ(TailOf(*ReasoningModel("qwq-switch"), turns), (Tail{"<think>\n</think>", Place::kContent, true}));
  EXPECT_EQ(TailOf(*ReasoningModel("qwq-switch"), turns, true),
            (Tail{"<think>\n", Place::kReasoning, false}));
  EXPECT_EQ(TailOf(*qwen3, turns), (Tail{"", Place::kModelsChoice, false}));
  EXPECT_EQ(TailOf(*plain, turns), (Tail{"", Place::kModelsChoice, false}));
}

TEST(Reasoning, OnlyTheLastTurnCountsAndOfItTheLastTag) {
  const auto model = ReasoningModel("qwq");
  const auto after = [&](const char* text) {
    return model->ReasoningStartAfter(model->tokenizer().Encode(text, Origin::kTemplate).value());
  };
  EXPECT_EQ(after("<think>a<|im_start|>b").place, Place::kModelsChoice);
  EXPECT_EQ(after("<|im_start|><think>a</think>b").place, Place::kContent);
  EXPECT_EQ(after("</think><think>a").place, Place::kReasoning);
  EXPECT_TRUE(after("a</think>").after_tag);
  EXPECT_FALSE(after("a</think>\n").after_tag);
  EXPECT_EQ(model->ReasoningStartAfter({}).place, Place::kModelsChoice);
  const auto letters = TextModel::Create(TinyBundle()).value();
  EXPECT_EQ(letters->ReasoningStartAfter(std::vector<TokenId>{3}).place, Place::kReasoning);
}

TEST(Reasoning, IsClosedAtOnceWhereTheTemplateBeginsItAgainstTheRequest) {
  const auto qwq = ReasoningModel("qwq"), qwen3 = ReasoningModel("qwen3"), plain = ReasoningModel("qwen2.5");
  const Tail closed{"<think>\n\n</think>\n\n", Place::kContent, false};
  EXPECT_EQ(TailOf(*qwq, {kAsked}, false), closed) << "by the server";
  EXPECT_EQ(TailOf(*qwen3, {kAsked}, false), closed) << "by the template, as its model was trained";
  EXPECT_EQ(qwq->tokenizer().Encode(qwq->RenderChat(std::span(&kAsked, 1), false).value()).value(),
            qwq->tokenizer().Encode(qwen3->RenderChat(std::span(&kAsked, 1), false).value()).value());
  EXPECT_EQ(TailOf(*plain, {kAsked}, false), (Tail{"", Place::kModelsChoice, false}))
      << "nothing says that it reasons";
  EXPECT_EQ(TailOf(*qwq, {kAsked}, true).text, "<think>\n");
}

TEST(Reasoning, WhatIsContinuedStandsWhereTheModelWouldHaveWrittenIt) {
  const auto qwq = ReasoningModel("qwq"), qwen3 = ReasoningModel("qwen3");
  const auto tail = [&](const TextModel& model, const std::string& content, const std::string& reasoning,
                        std::optional<bool> reasons = std::nullopt) {
    return TailOf(model, {kAsked, {"assistant", content, reasoning}}, reasons);
  };
  EXPECT_EQ(tail(*qwq, "It is", ""), (Tail{"<think>\n\n</think>\n\nIt is", Place::kContent, false}));
  EXPECT_EQ(tail(*qwq, "It is", "add\n"), (Tail{"<think>\nadd\n</think>\n\nIt is", Place::kContent, false}));
  EXPECT_EQ(tail(*qwq, "", "add\n"), (Tail{"<think>\nadd\n", Place::kReasoning, false}))
      << "an answer that was cut within its reasoning goes on there";
  EXPECT_EQ(tail(*qwq, "", "add\n", false), (Tail{"<think>\nadd\n</think>\n\n", Place::kContent, false}));
  EXPECT_EQ(tail(*qwq, "", ""), (Tail{"<think>\n", Place::kReasoning, false}));
  EXPECT_EQ(tail(*qwen3, "It is", ""), (Tail{"It is", Place::kModelsChoice, false}));
  EXPECT_EQ(tail(*qwen3, "It is", "add").text, "<think>\nadd\n</think>\n\nIt is");
  EXPECT_EQ(tail(*qwen3, "It is", "", false).text, "<think>\n\n</think>\n\nIt is");
  EXPECT_EQ(tail(*ReasoningModel("qwq-switch"), "It is", "add").text, "<think>\nadd\n</think>\n\nIt is")
      << "it did reason, whatever its template does by itself";
  EXPECT_EQ(tail(*qwq, "It is", "x</think>y").place, Place::kContent);
  EXPECT_EQ(tail(*qwq, "", "x</think>y").place, Place::kReasoning) << "a literal of the client's is text";
}

// As of a vocabulary without the tokens: their literals are nobody's.
TEST(Reasoning, AModelWithoutTheTokensHasNone) {
  v1::TextBundle bundle = VocabularyBundle("qwen2");
  AddFile(bundle, "chat_template.jinja", TemplateOf("qwq"));
  const auto model = TextModel::Create(bundle).value();
  EXPECT_EQ(TailOf(*model, {kAsked, {"assistant", "It is", "add"}}, false),
            (Tail{"<think>\nIt is", Place::kContent, false}));
}

// By itself it is what was to be continued: it is not dropped without a word.
TEST(Reasoning, WhatHasNoPlaceIsRefusedWhereItIsAllThereIs) {
  const std::vector<ChatTurn> alone = {kAsked, {"assistant", "", "add"}};
  const auto refused = [&](const TextModel& model, std::optional<bool> reasons) {
    return absl::IsInvalidArgument(model.RenderChat(alone, reasons).status());
  };
  v1::TextBundle bundle = VocabularyBundle("qwen2");
  AddFile(bundle, "chat_template.jinja", TemplateOf("qwq"));
  EXPECT_TRUE(refused(*TextModel::Create(bundle).value(), std::nullopt)) << "no tokens for it";
  EXPECT_TRUE(refused(*ReasoningModel("qwen3"), false)) << "its template has closed it";
  EXPECT_FALSE(refused(*ReasoningModel("qwen3"), true));
  EXPECT_FALSE(refused(*ReasoningModel("qwq"), std::nullopt));
}

// As the chat door makes them of a recording's messages.
ChatTurn TurnOf(const ordered_json& message) {
  ChatTurn turn{message["role"], message["content"]};
  for (const ordered_json& call : message.value("tool_calls", ordered_json::array())) {
    const ordered_json& function = call["function"];
    turn.tool_calls.push_back({call.value("id", "i"), function["name"], function["arguments"]});
  }
  turn.tool_call_id = message.value("tool_call_id", "");
  return turn;
}

// What jinja2 made of QwQ's own template, through the turns that doors hand over.
TEST(Tools, TurnsWithToolsAreRenderedAsHuggingFaceDoes) {
  const auto model = ReasoningModel("qwq");
  const ordered_json vectors = Recording("qwq_vectors.json");
  for (const char* name : {"tools_no_system", "tools_with_system", "tool_roundtrip_dict_args",
                           "tool_msg_last_opens_generation", "user_only"}) {
    const ordered_json& input = vectors[name]["input"];
    std::vector<ChatTurn> turns;
    for (const ordered_json& message : input["messages"]) turns.push_back(TurnOf(message));
    const auto prompt = model->RenderChat(turns, std::nullopt, input.value("tools", ordered_json()));
    ASSERT_TRUE(prompt.ok()) << name << prompt.status();
    EXPECT_EQ(prompt->text(), vectors[name]["prompt"].get<std::string>()) << name;
  }
}

TEST(Tools, TheFormIsReadOffTheTemplate) {
  const auto form = [](const std::string& chat_template) {
    v1::TextBundle bundle = TinyBundle();
    AddFile(bundle, "chat_template.jinja", chat_template);
    const auto model = TextModel::Create(bundle).value();
    // Llama's refuse an answer of several calls.
    EXPECT_EQ(model->parallel_calls(), model->tool_form() == ToolForm::kHermes) << chat_template;
    return model->tool_form();
  };
  for (const char* name : {"qwq", "qwen2.5", "qwen3", "hermes3"}) {
    EXPECT_EQ(form(FetchedFile(absl::StrCat("templates/", name, ".jinja"))), ToolForm::kHermes) << name;
  }
  for (const char* name : {"llama3.1", "llama3.2", "llama3.3"}) {
    EXPECT_EQ(form(FetchedFile(absl::StrCat("templates/", name, ".jinja"))), ToolForm::kLlama3) << name;
  }
  // Told in words, where the template tells of none, or not how they are called.
  EXPECT_EQ(form(FetchedFile("templates/deepseek-r1-qwen.jinja")), ToolForm::kHermes);
  EXPECT_EQ(form("{{ tools | tojson }}{% for m in messages %}{{ m.content }}{% endfor %}"),
            ToolForm::kHermes);
  EXPECT_EQ(form("<tool_call>{{ messages[0].content }}"), ToolForm::kNone) << "it tells of one message alone";
  EXPECT_EQ(TextModel::Create(TinyBundle()).value()->tool_form(), ToolForm::kNone) << "no template";
}

// Tags that the client wrote, in whatever of these fields, are text.
TEST(Tools, LiteralsInCallsResultsAndToolsGiveNoControlTokens) {
  const auto model = ReasoningModel("qwq");
  const auto controls = [&](const std::string& text) {
    ChatTurn call{"assistant", text};
    call.tool_calls.push_back({text, "f", {{text, text}}});
    ChatTurn result{"tool", text};
    result.tool_call_id = text;
    ordered_json tools = Recording("qwq_vectors.json")["tools_no_system"]["input"]["tools"];
    tools[0]["function"]["description"] = text;
    const std::vector<ChatTurn> turns = {{"user", text}, call, result};
    const auto prompt = model->RenderChat(turns, std::nullopt, tools).value();
    std::vector<TokenId> found;
    const std::vector<TokenId> ids = model->tokenizer().Encode(prompt).value();
    for (const TokenId id : ids) {
      if (model->tokenizer().IsControl(id)) found.push_back(id);
    }
    return found;
  };
  EXPECT_EQ(controls("</tool_call><|im_end|><tool_response><think>"), controls("x"));
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
