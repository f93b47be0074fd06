// The doors' parsers are held to the lists of their fields, both ways. Whatever a parser asks for must be in
// the list of its shape (a FieldReader says a defect otherwise), and here whatever a list declares is read:
// each limit is taken at its edge and refused just beyond, at its own path, and so is a value of another
// type; each word of a choice is taken, and null is as good as absent.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/api/chat/chat_request.h"
#include "gateway/api/chat/declared_chat.h"
#include "gateway/api/completions/completion_request.h"
#include "gateway/api/completions/declared_completion.h"
#include "gateway/api/inference/declared_inference.h"
#include "gateway/api/inference/inference_request.h"
#include "gateway/api/messages/declared_body.h"
#include "gateway/api/messages/messages_request.h"
#include "gateway/api/responses/declared_responses.h"
#include "gateway/api/responses/responses_request.h"
#include "gateway/api/test_field_probes.h"
#include "gateway/api/text/declared_text.h"
#include "gateway/api/text/text_doors.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

template <typename T>
std::optional<http::ApiError> ErrorOf(ApiResult<T> result) {
  if (auto* error = std::get_if<http::ApiError>(&result)) return std::move(*error);
  return std::nullopt;
}

struct Door {
  const DeclaredObject* shape;
  std::optional<http::ApiError> (*parse)(const std::string& body);
  // Together they have an object of every nested shape, and of every variant, so that each can be tried; the
  // others are the first one, but for these members.
  const char* whole;
  std::vector<const char*> others = {};
};

const std::vector<const char*> kOtherFormats = {R"({"response_format":{"type":"regex","regex":"a"}})",
                                                R"({"response_format":{"type":"grammar","grammar":"a"}})"};

const char* const kWholeChat = R"({"model":"m","stream":true,"stream_options":{},"logprobs":true,
  "reasoning":{},"chat_template_kwargs":{},"response_format":{"type":"json_schema","json_schema":{"schema":{}}},
  "tools":[{"function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}},
  "metadata":{},"prediction":{},
  "messages":[{"role":"user","content":[{"type":"text","text":"a"}]},
    {"role":"assistant","content":"b","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},
    {"role":"tool","tool_call_id":"1","content":"c"},{"role":"user","content":"d"}]})";

const char* const kWholeMessages = R"({"model":"m","max_tokens":1000000,"system":[{"type":"text","text":"s"}],
  "messages":[{"role":"system","content":[{"type":"text","text":"s"}]},
    {"role":"user","content":[{"type":"text","text":"a"}]},
    {"role":"assistant","content":[{"type":"thinking","thinking":"t"},{"type":"text","text":"b"},
      {"type":"redacted_thinking"},{"type":"tool_use","id":"1","name":"f","input":{}}]},
    {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","is_error":false,
      "content":[{"type":"text","text":"c"}]}]}],
  "tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"f"},
  "thinking":{"type":"enabled","budget_tokens":1},"output_config":{"format":{"type":"json_schema","schema":{}}},
  "context_management":{},"metadata":{}})";

const Door kDoors[] = {
    {&kChatShape, [](const std::string& body) { return ErrorOf(ParseChatRequest(body)); }, kWholeChat,
     kOtherFormats},
    {&kCompletionShape, [](const std::string& body) { return ErrorOf(ParseCompletionRequest(body)); },
     R"({"model":"m","prompt":"a","stream":true,"stream_options":{},
         "response_format":{"type":"json_schema","json_schema":{"schema":{}}}})",
     kOtherFormats},
    {&kInferenceShape, [](const std::string& body) { return ErrorOf(ParseInferenceRequest(body, "m")); },
     R"({"input":"a","response_format":{"type":"json_schema","json_schema":{"schema":{}}}})", kOtherFormats},
    {&kMessagesShape,
     [](const std::string& body) { return ErrorOf(ParseMessagesRequest(body, MessagesUse::kAnswer)); },
     kWholeMessages},
    {&kCountShape,
     [](const std::string& body) { return ErrorOf(ParseMessagesRequest(body, MessagesUse::kCount)); },
     kWholeMessages},
    {&kResponsesShape, [](const std::string& body) { return ErrorOf(ParseResponsesRequest(body)); },
     R"({"model":"m","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]},
           {"type":"function_call","call_id":"1","name":"f","arguments":"{}"},
           {"type":"function_call_output","call_id":"1","output":[{"type":"text","text":"b"}]},
           {"type":"reasoning"}],
         "tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"function","name":"f"},"reasoning":{},
         "text":{"format":{"type":"json_schema","schema":{}}},"metadata":{}})"},
    {&kTokenizeTextShape, [](const std::string& body) { return ErrorOf(ParseTokenize(body)); },
     R"({"model":"m","prompt":"a"})"},
    {&kTokenizeChatShape, [](const std::string& body) { return ErrorOf(ParseTokenize(body)); }, kWholeChat,
     kOtherFormats},
    {&kApplyTemplateShape, [](const std::string& body) { return ErrorOf(ParseApplyTemplate(body)); },
     kWholeChat, kOtherFormats},
    {&kDetokenizeShape, [](const std::string& body) { return ErrorOf(ParseDetokenize(body)); },
     R"({"model":"m","tokens":[1]})"},
};

class DeclarationsTest : public testing::TestWithParam<Door> {
 protected:
  const Door& door() const { return GetParam(); }
  json whole() const { return whole_; }

  static std::string ParamOf(const std::string& pointer) {
    std::string param = pointer.substr(1);
    std::replace(param.begin(), param.end(), '/', '.');
    return param;
  }

  // `at`: the object that has the field.
  void Try(const AnyField& field, const std::string& at) {
    const char* name = std::visit([](const auto* declared) { return declared->name; }, field.field);
    const Probes probes = std::visit(ProbesOf(), field.field);
    const std::string pointer = absl::StrCat(at, "/", name), param = ParamOf(pointer);
    // Less than max_tokens, which must be there: the most that it can be is less than its own bound.
    const bool below_another = field.address == &kBudget && door().shape == &kMessagesShape;
    for (const json& value : probes.refused) {
      json body = whole();
      body[json::json_pointer(pointer)] = value;
      const std::optional<http::ApiError> error = door().parse(body.dump());
      const std::string what =
          absl::StrCat(door().shape->name, ": ", param, ": ", value.dump().substr(0, 99));
      ASSERT_TRUE(error) << what << " was taken";
      EXPECT_EQ(error->status, 422) << what << ": " << error->message;
      EXPECT_TRUE(error->param == param || absl::StartsWith(error->param, param + "."))
          << what << ": " << error->message;
    }
    for (const json& value : below_another ? std::vector<json>{1} : probes.taken) {
      json body = whole();
      Accompany(name, value, body);
      body[json::json_pointer(pointer)] = value;
      const std::optional<http::ApiError> error = door().parse(body.dump());
      EXPECT_FALSE(error) << door().shape->name << ": " << param << ": " << value.dump().substr(0, 99) << ": "
                          << error->message;
    }
    TryNull(name, at);
    tried_.insert(field.address);
  }

  void TryNull(const char* name, const std::string& at) {
    json without = whole(), null = whole();
    without[json::json_pointer(at)].erase(name);
    null[json::json_pointer(at)][name] = nullptr;
    const auto absent = door().parse(without.dump()), error = door().parse(null.dump());
    EXPECT_EQ(error ? error->message : "", absent ? absent->message : "") << at << "/" << name;
  }

  // Of those that stand nowhere in a whole body, one by one in the place of what stands there.
  void TryWords(const ChoiceField& field, const std::vector<std::string>& places, const std::string& at) {
    std::set<std::string>& taken = words_[&field];
    for (const std::string& place : places) {
      const json& object = whole_[json::json_pointer(place)];
      if (object.contains(field.name) && object[field.name].is_string()) taken.insert(object[field.name]);
    }
    for (const char* word : field.words) {
      json body = whole();
      body[json::json_pointer(at)][field.name] = word;
      if (!door().parse(body.dump())) taken.insert(word);
    }
  }

  // What goes with a value of a field.
  static void Accompany(std::string_view name, const json& value, json& body) {
    if (name == "best_of") body["n"] = value;
    if (name == "max_tokens" || name == "max_completion_tokens") body.erase("thinking");
    if (name == "max_tokens" && value == 0 && body.contains("prompt")) body["echo"] = true;
    if (name == "num_responses" || name == "logprobs") body.erase("stream_options");
    if (name == "stream") body.erase("stream_options");
    if (name == "stop_sequences") body.erase("stop");
    if (name == "budget_tokens" && value != 1) body.erase("max_tokens");
  }

  // All objects of a shape in the whole body, by their pointers.
  void Walk(const DeclaredObject& shape, const std::vector<std::string>& places) {
    ASSERT_FALSE(places.empty()) << door().shape->name << " has no " << shape.name << " in its whole body";
    const json body = whole();
    for (const ShapeVariant& variant : shape.variants) {
      for (const AnyField& field : variant.fields) Visit(field, PlacesOf(shape, variant, places, body));
    }
    for (const AnyField& field : shape.fields) {
      bool of_variant = false;
      for (const ShapeVariant& variant : shape.variants) {
        for (const AnyField& other : variant.fields) of_variant |= other.address == field.address;
      }
      if (!of_variant) Visit(field, places);
    }
  }

  static std::vector<std::string> PlacesOf(const DeclaredObject& shape, const ShapeVariant& variant,
                                           const std::vector<std::string>& places, const json& body) {
    std::vector<std::string> found;
    for (const std::string& place : places) {
      const json& object = body[json::json_pointer(place)];
      const json word =
          object.value(shape.by->name, json::parse(*shape.by->absent ? shape.by->absent : "null"));
      const auto is_it = [&](const char* of) { return word == of; };
      if (std::any_of(variant.words.begin(), variant.words.end(), is_it)) found.push_back(place);
    }
    return found;
  }

  // What another shape says: a conversation in place of a text.
  static bool IsElsewhere(const AnyField& field) { return field.address == &kConversation; }

  void Visit(const AnyField& field, const std::vector<std::string>& places) {
    if (places.empty() || IsElsewhere(field)) return;  // the variant of another whole body
    const char* name = std::visit([](const auto* declared) { return declared->name; }, field.field);
    const json body = whole();
    const auto has = [&](const std::string& place) { return body[json::json_pointer(place)].contains(name); };
    const auto with = std::find_if(places.begin(), places.end(), has);
    const std::string& at = with == places.end() ? places.front() : *with;
    Try(field, at);
    if (const auto* choice = std::get_if<const ChoiceField*>(&field.field)) TryWords(**choice, places, at);
    if (const DeclaredObject* shape = ShapeOf(field)) Descend(*shape, name, places, body);
    if (const auto* list = std::get_if<const ListField*>(&field.field)) Descend(**list, places, body);
  }

  // Of the object that it may be.
  static const DeclaredObject* ShapeOf(const AnyField& field) {
    if (const auto* object = std::get_if<const ObjectField*>(&field.field)) return (*object)->shape;
    if (const auto* choice = std::get_if<const ChoiceField*>(&field.field)) return (*choice)->or_object;
    return nullptr;
  }

  void Descend(const DeclaredObject& shape, const std::string& name, const std::vector<std::string>& places,
               const json& body) {
    if (shape.fields.empty() || name == "output_format") return;  // of output_config's format's shape
    std::vector<std::string> inner;
    for (const std::string& place : places) {
      const json& object = body[json::json_pointer(place)];
      if (object.contains(name) && object[name].is_object()) inner.push_back(absl::StrCat(place, "/", name));
    }
    Walk(shape, inner);
  }
  void Descend(const ListField& field, const std::vector<std::string>& places, const json& body) {
    if (*field.item_advice == '\0') return;  // another shape's
    std::vector<std::string> inner;
    for (const std::string& place : places) {
      const json& object = body[json::json_pointer(place)];
      if (!object.contains(field.name) || !object[field.name].is_array()) continue;
      for (size_t i = 0; i < object[field.name].size(); ++i) {
        inner.push_back(absl::StrCat(place, "/", field.name, "/", i));
      }
    }
    Walk(*field.item, inner);
  }

  void ExpectAllTried(const DeclaredObject& shape) {
    for (const AnyField& field : shape.fields) {
      if (IsElsewhere(field)) continue;
      const char* name = std::visit([](const auto* declared) { return declared->name; }, field.field);
      EXPECT_TRUE(tried_.contains(field.address)) << shape.name << " has " << name << ", which was not tried";
      if (const auto* choice = std::get_if<const ChoiceField*>(&field.field)) {
        for (const char* word : (*choice)->words) {
          EXPECT_TRUE(words_[*choice].contains(word)) << shape.name << ": " << name << ": " << word;
        }
      }
      if (const DeclaredObject* inner = ShapeOf(field)) ExpectAllTried(*inner);
      if (const auto* list = std::get_if<const ListField*>(&field.field)) ExpectAllTried(*(*list)->item);
    }
  }

  json whole_ = json::parse(GetParam().whole);
  std::set<const void*> tried_;
  std::map<const ChoiceField*, std::set<std::string>> words_;  // that were taken
};

TEST_P(DeclarationsTest, WhatIsDeclaredIsRead) {
  std::vector<const char*> wholes = door().others;
  wholes.insert(wholes.begin(), "{}");
  for (const char* members : wholes) {
    whole_ = json::parse(door().whole);
    whole_.update(json::parse(members));
    const std::optional<http::ApiError> error = door().parse(whole_.dump());
    ASSERT_FALSE(error) << error->message;
    Walk(*door().shape, {""});
  }
  ExpectAllTried(*door().shape);
}

TEST_P(DeclarationsTest, TheExampleIsTakenAndWhatIsRequiredIsMissed) {
  const json example = json::parse(door().shape->example);
  ASSERT_FALSE(door().parse(example.dump())) << door().parse(example.dump())->message;
  for (const auto& [name, value] : example.items()) {
    json body = example;
    body.erase(name);
    EXPECT_TRUE(door().parse(body.dump())) << name << " is in the example and not required";
  }
}

TEST_P(DeclarationsTest, WhoAsksForNoTokensIsToldWhatToDo) {
  for (const AnyField& field : door().shape->fields) {
    const auto* integer = std::get_if<const IntegerField*>(&field.field);
    if (integer == nullptr || !absl::StartsWith((*integer)->name, "max_")) continue;
    json body = json::parse(door().shape->example);
    body[(*integer)->name] = 0;
    const std::optional<http::ApiError> error = door().parse(body.dump());
    ASSERT_TRUE(error);
    EXPECT_EQ(error->param, (*integer)->name);
    EXPECT_THAT(error->message, testing::HasSubstr("echo"));
  }
}

INSTANTIATE_TEST_SUITE_P(Doors, DeclarationsTest, testing::ValuesIn(kDoors),
                         [](const auto& info) { return std::string(info.param.shape->name); });

TEST(FieldReaderTest, WhatIsNotDeclaredCannotBeAskedFor) {
  const json object = json::object();
  std::optional<http::ApiError> error;
  FieldReader fields(object, kDetokenizeShape, error);
  EXPECT_EQ(fields.Find(kTokens), nullptr);
  EXPECT_FALSE(error);
  EXPECT_EQ(fields.Number(kTemperature), std::nullopt);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, 500);
}

}  // namespace
}  // namespace quire::gateway
