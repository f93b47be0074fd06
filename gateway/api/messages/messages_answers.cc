#include "gateway/api/messages/messages_answers.h"

#include <utility>

#include "gateway/api/openapi/answer_schema.h"

namespace quire::gateway {

using schema::Count, schema::Id, schema::Just, schema::List, schema::Members, schema::Object, schema::Ref,
    schema::Schema, schema::Text;

namespace {

Members PromptCounts() {
  return {{"input_tokens", Count()},
          {"cache_creation_input_tokens", Just(0)},
          {"cache_read_input_tokens", Count()},
          {"output_tokens", Count()}};
}

Members Stop() {
  return {{"stop_reason", schema::Words({"end_turn", "max_tokens", "stop_sequence", "tool_use"})},
          {"stop_sequence", schema::TextOrNull()}};
}

// What begins with its type.
Schema Typed(const char* type, Members members = {}) {
  members.insert(members.begin(), {"type", Just(type)});
  return Object(members);
}

void AddWholeMessage(Schema& schemas) {
  schemas["AnswerText"] = Typed("text", {{"text", Text()}});
  schemas["AnswerThinking"] = Typed("thinking", {{"thinking", Text()}, {"signature", Text()}});
  schemas["AnswerToolUse"] =
      Typed("tool_use", {{"id", Id("toolu_")}, {"name", Text()}, {"input", schema::AnyObject()}});
  schemas["ContentBlock"] = schema::OneOf({"AnswerText", "AnswerThinking", "AnswerToolUse"});
  Members usage = PromptCounts();
  usage.emplace_back("output_tokens_details", Object({{"thinking_tokens", Count()}}));
  usage.emplace_back("quire", Object({{"estimated_cost", schema::Dollars()},
                                      {"cached_tokens", Count()},
                                      {"finish_details?", Ref("FinishDetails")}}));
  schemas["MessagesUsage"] = Object(usage);
  Members message{{"id", Id("msg_")},
                  {"role", Just("assistant")},
                  {"model", Text()},
                  {"content", schema::Filled(List(Ref("ContentBlock")))}};
  for (auto& member : Stop()) message.push_back(std::move(member));
  message.emplace_back("usage", Ref("MessagesUsage"));
  schemas["MessageAnswer"] = Typed("message", message);
}

void AddMessageEvents(Schema& schemas) {
  const Schema begun = Typed("message", {{"id", Id("msg_")},
                                         {"role", Just("assistant")},
                                         {"model", Text()},
                                         {"content", schema::EmptyList()},
                                         {"stop_reason", schema::Null()},
                                         {"stop_sequence", schema::Null()},
                                         {"usage", Object(PromptCounts())}});
  schemas["MessageStart"] = Typed("message_start", {{"message", begun}});
  schemas["ContentBlockStart"] =
      Typed("content_block_start", {{"index", Count()}, {"content_block", Ref("ContentBlock")}});
  Schema delta;
  delta["oneOf"] = {Typed("text_delta", {{"text", Text()}}), Typed("thinking_delta", {{"thinking", Text()}}),
                    Typed("signature_delta", {{"signature", Text()}}),
                    Typed("input_json_delta", {{"partial_json", Text()}})};
  schemas["ContentBlockDelta"] = Typed("content_block_delta", {{"index", Count()}, {"delta", delta}});
  schemas["ContentBlockStop"] = Typed("content_block_stop", {{"index", Count()}});
  schemas["MessageDelta"] =
      Typed("message_delta", {{"delta", Object(Stop())}, {"usage", Ref("MessagesUsage")}});
  schemas["MessageStop"] = Typed("message_stop");
  schemas["Ping"] = Typed("ping");
  schemas["MessageEvent"] = schema::About(
      "`data:` of an event, whose name is its type.",
      schema::OneOf({"MessageStart", "ContentBlockStart", "ContentBlockDelta", "ContentBlockStop",
                     "MessageDelta", "MessageStop", "Ping", "MessagesError"}));
}

}  // namespace

void AddMessagesAnswers(Schema& schemas) {
  AddWholeMessage(schemas);
  AddMessageEvents(schemas);
  schemas["TokenCount"] = Object({{"input_tokens", Count()}});
  const Schema types = {"invalid_request_error", "authentication_error",
                        "billing_error",         "permission_error",
                        "not_found_error",       "timeout_error",
                        "request_too_large",     "rate_limit_error",
                        "overloaded_error",      "api_error"};
  schemas["MessagesError"] = Typed(
      "error",
      {{"error", Object({{"type", schema::Words(types)}, {"message", Text()}})}, {"request_id", Id("")}});
}

}  // namespace quire::gateway
