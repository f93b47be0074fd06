#include "gateway/api/chat/chat_answers.h"

#include "gateway/api/openapi/answer_schema.h"

namespace quire::gateway {

using schema::About, schema::Count, schema::Dollars, schema::Filled, schema::Id, schema::Just, schema::List,
    schema::Members, schema::Null, schema::Number, schema::Object, schema::OrNull, schema::Ref,
    schema::Schema, schema::Text, schema::TextOrNull, schema::Words;

namespace {

Members ChanceMembers() { return {{"token", Text()}, {"logprob", Number()}, {"bytes", List(Count())}}; }

// What more than one door says.
void AddCommon(Schema& schemas) {
  schemas["Usage"] = Object({{"prompt_tokens", Count()},
                             {"completion_tokens", About("Reasoning included.", Count())},
                             {"total_tokens", Count()},
                             {"estimated_cost", About("US dollars: what the ledger posts.", Dollars())},
                             {"prompt_tokens_details", Object({{"cached_tokens", Count()}})},
                             {"completion_tokens_details", Object({{"reasoning_tokens", Count()}})}});
  schemas["FinishDetails"] =
      About("There where `loop_guard` ended the choice.", Object({{"type", Just("loop")}}));
  schemas["TokenChance"] = Object(ChanceMembers());
  Members sampled = ChanceMembers();
  sampled.emplace_back("top_logprobs", List(Ref("TokenChance"), 20));
  schemas["TokenLogprob"] = Object(sampled);
}

void AddWhole(Schema& schemas) {
  schemas["ChatLogprobs"] = Object({{"content", List(Ref("TokenLogprob"))}, {"refusal", Null()}});
  schemas["AnswerCall"] = Object(
      {{"id", Id("call_")},
       {"type", Just("function")},
       {"function", Object({{"name", Text()},
                            {"arguments", About("A JSON object, cut where the answer was.", Text())}})}});
  schemas["AnswerMessage"] = Object({{"role", Just("assistant")},
                                     {"content", About("null only beside calls.", TextOrNull())},
                                     {"reasoning_content?", Text()},
                                     {"tool_calls?", Filled(List(Ref("AnswerCall")))}});
  schemas["ChatChoice"] = Object({{"index", Count()},
                                  {"message", Ref("AnswerMessage")},
                                  {"logprobs?", Ref("ChatLogprobs")},
                                  {"finish_reason", Words({"stop", "length", "tool_calls"})},
                                  {"finish_details?", Ref("FinishDetails")}});
  schemas["ChatCompletion"] = Object({{"id", Id("chatcmpl-")},
                                      {"object", Just("chat.completion")},
                                      {"created", Count()},
                                      {"model", Text()},
                                      {"choices", Filled(List(Ref("ChatChoice"), 4))},
                                      {"usage", Ref("Usage")}});
}

void AddStreamed(Schema& schemas) {
  schemas["CallDelta"] = About("A call's first one has id, type and name.",
                               Object({{"index", Count()},
                                       {"id?", Id("call_")},
                                       {"type?", Just("function")},
                                       {"function", Object({{"name?", Text()}, {"arguments", Text()}})}}));
  schemas["ChatDelta"] = Object({{"role?", Just("assistant")},
                                 {"content?", Text()},
                                 {"reasoning_content?", Text()},
                                 {"tool_calls?", Filled(List(Ref("CallDelta"), 1))}});
  schemas["ChatChunkChoice"] = Object({{"index", Count()},
                                       {"delta", Ref("ChatDelta")},
                                       {"logprobs?", Ref("ChatLogprobs")},
                                       {"finish_reason", Words({"stop", "length", "tool_calls", nullptr})},
                                       {"finish_details?", Ref("FinishDetails")}});
  schemas["ChatCompletionChunk"] = Object({{"id", Id("chatcmpl-")},
                                           {"object", Just("chat.completion.chunk")},
                                           {"created", Count()},
                                           {"model", Text()},
                                           {"choices", List(Ref("ChatChunkChoice"), 1)},
                                           {"usage?", OrNull(Ref("Usage"))}});
  schemas["ChatEvent"] = About(
      "`data:` of an event. An error takes the place of the chunk with the finish_reason; "
      "`data: [DONE]` comes last.",
      schema::OneOf({"ChatCompletionChunk", "Error"}));
}

}  // namespace

void AddChatAnswers(Schema& schemas) {
  AddCommon(schemas);
  AddWhole(schemas);
  AddStreamed(schemas);
}

}  // namespace quire::gateway
