#include "gateway/api/responses/responses_answers.h"

#include <utility>

#include "gateway/api/openapi/answer_schema.h"

namespace quire::gateway {

using schema::Count, schema::Id, schema::Just, schema::List, schema::Members, schema::Object, schema::OrNull,
    schema::Ref, schema::Schema, schema::Text, schema::TextOrNull, schema::Words;

namespace {

void AddItems(Schema& schemas) {
  const Schema status = Words({"in_progress", "completed", "incomplete"});
  schemas["OutputText"] = Object({{"type", Just("output_text")},
                                  {"text", Text()},
                                  {"annotations", schema::EmptyList()},
                                  {"logprobs", List(Ref("TokenLogprob"))}});
  schemas["ReasoningText"] = Object({{"type", Just("reasoning_text")}, {"text", Text()}});
  schemas["ReasoningItem"] = Object({{"id", Id("rs_")},
                                     {"type", Just("reasoning")},
                                     {"summary", schema::EmptyList()},
                                     {"content", List(Ref("ReasoningText"), 1)},
                                     {"status", status}});
  schemas["MessageItem"] = Object({{"id", Id("msg_")},
                                   {"type", Just("message")},
                                   {"role", Just("assistant")},
                                   {"content", List(Ref("OutputText"), 1)},
                                   {"status", status}});
  schemas["FunctionCallItem"] = Object({{"id", Id("fc_")},
                                        {"type", Just("function_call")},
                                        {"call_id", Id("call_")},
                                        {"name", Text()},
                                        {"arguments", Text()},
                                        {"status", status}});
  schemas["OutputItem"] = schema::OneOf({"ReasoningItem", "MessageItem", "FunctionCallItem"});
}

// What a response says of its request (responses_echo.h).
Members Echoed() {
  Schema choice;
  choice["anyOf"] = {Words({"none", "auto", "required"}),
                     Object({{"type", Just("function")}, {"name", Text()}})};
  return {{"text", Object({{"format", schema::AnyObject()}})},
          {"instructions", TextOrNull()},
          {"tools", List(schema::AnyObject())},
          {"tool_choice", choice},
          {"parallel_tool_calls", schema::Flag()},
          {"reasoning", Object({{"effort", TextOrNull()}, {"summary", TextOrNull()}})},
          {"max_output_tokens", OrNull(Count())},
          {"temperature", schema::NumberOrNull()},
          {"top_p", schema::NumberOrNull()},
          {"top_logprobs", Count()},
          {"metadata", {{"type", "object"}, {"additionalProperties", Text()}}},
          {"user", TextOrNull()},
          {"store", Just(false)},
          {"previous_response_id", schema::Null()},
          {"truncation", Just("disabled")},
          {"background", Just(false)}};
}

void AddResponse(Schema& schemas) {
  schemas["ResponseUsage"] =
      Object({{"input_tokens", Count()},
              {"input_tokens_details", Object({{"cached_tokens", Count()}, {"cache_write_tokens", Just(0)}})},
              {"output_tokens", Count()},
              {"output_tokens_details", Object({{"reasoning_tokens", Count()}})},
              {"total_tokens", Count()},
              {"estimated_cost", schema::Dollars()}});
  Members response{
      {"id", Id("resp_")},
      {"object", Just("response")},
      {"created_at", Count()},
      {"model", Text()},
      {"status", Words({"in_progress", "completed", "incomplete", "failed"})},
      {"error", OrNull(Object({{"code", Text()}, {"message", Text()}}))},
      {"incomplete_details",
       OrNull(Object({{"reason", Just("max_output_tokens")}, {"finish_details?", Ref("FinishDetails")}}))}};
  for (auto& member : Echoed()) response.push_back(std::move(member));
  response.emplace_back("output", List(Ref("OutputItem")));
  response.emplace_back("usage", OrNull(Ref("ResponseUsage")));
  schemas["Response"] = Object(response);
}

Schema Event(Schema types, Members members) {
  members.insert(members.begin(), {{"type", Words(std::move(types))}, {"sequence_number", Count()}});
  return Object(members);
}

// In a part of an item; calls have none.
Members Within(Members members) {
  members.insert(members.begin(),
                 {{"item_id", Text()}, {"output_index", Count()}, {"content_index", Just(0)}});
  return members;
}

void AddResponseEvents(Schema& schemas) {
  const Schema logprobs = List(Ref("TokenLogprob"));
  schemas["ResponseChanged"] = Event({"response.created", "response.in_progress", "response.completed",
                                      "response.incomplete", "response.failed"},
                                     {{"response", Ref("Response")}});
  schemas["ItemChanged"] = Event({"response.output_item.added", "response.output_item.done"},
                                 {{"output_index", Count()}, {"item", Ref("OutputItem")}});
  schemas["PartChanged"] = Event({"response.content_part.added", "response.content_part.done"},
                                 Within({{"part", schema::OneOf({"OutputText", "ReasoningText"})}}));
  schemas["OutputTextDelta"] = Event(Schema::array({"response.output_text.delta"}),
                                     Within({{"delta", Text()}, {"logprobs", logprobs}}));
  schemas["OutputTextDone"] =
      Event(Schema::array({"response.output_text.done"}), Within({{"text", Text()}, {"logprobs", logprobs}}));
  schemas["ReasoningTextDelta"] =
      Event(Schema::array({"response.reasoning_text.delta"}), Within({{"delta", Text()}}));
  schemas["ReasoningTextDone"] =
      Event(Schema::array({"response.reasoning_text.done"}), Within({{"text", Text()}}));
  schemas["ArgumentsDelta"] = Event(Schema::array({"response.function_call_arguments.delta"}),
                                    {{"item_id", Text()}, {"output_index", Count()}, {"delta", Text()}});
  schemas["ArgumentsDone"] = Event(Schema::array({"response.function_call_arguments.done"}),
                                   {{"item_id", Text()}, {"output_index", Count()}, {"arguments", Text()}});
  schemas["ErrorEvent"] =
      Event(Schema::array({"error"}), {{"code", Text()}, {"message", Text()}, {"param", schema::Null()}});
  schemas["ResponseEvent"] =
      schema::About("`data:` of an event, whose name is its type. No `[DONE]` follows.",
                    schema::OneOf({"ResponseChanged", "ItemChanged", "PartChanged", "OutputTextDelta",
                                   "OutputTextDone", "ReasoningTextDelta", "ReasoningTextDone",
                                   "ArgumentsDelta", "ArgumentsDone", "ErrorEvent"}));
}

}  // namespace

void AddResponsesAnswers(Schema& schemas) {
  AddItems(schemas);
  AddResponse(schemas);
  AddResponseEvents(schemas);
}

}  // namespace quire::gateway
