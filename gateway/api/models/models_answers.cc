#include "gateway/api/models/models_answers.h"

#include <initializer_list>

#include "gateway/api/openapi/answer_schema.h"

namespace quire::gateway {
namespace {

using schema::Count, schema::Members, schema::Object, schema::Ref, schema::Schema, schema::Text;

Schema Of(std::initializer_list<const char*> names, const Schema& each) {
  Members members;
  for (const char* name : names) members.emplace_back(name, each);
  return Object(members);
}

}  // namespace

void AddModelsAnswers(Schema& schemas) {
  const Schema per_million = schema::About("US dollars per million tokens.", schema::Dollars());
  schemas["ModelMetadata"] =
      Object({{"description", Text()},
              {"context_length", Count()},
              {"max_tokens", Count()},
              {"pricing", Of({"input_tokens", "cache_read_tokens", "output_tokens"}, per_million)},
              {"tags", schema::List(Text())}});
  const Schema exactly{
      {"type", "string"}, {"pattern", "^[0-9]+[.][0-9]{9}$"}, {"description", "US dollars for one token."}};
  schemas["Model"] =
      Object({{"id", Text()},
              {"object", schema::Just("model")},
              {"created", Count()},
              {"owned_by", Text()},
              {"root", Text()},
              {"parent", schema::Null()},
              {"context_length", Count()},
              {"max_model_len", Count()},
              {"max_output_length", Count()},
              {"dtype", schema::TextOrNull()},
              {"pricing", Of({"prompt", "input_cache_read", "completion"}, exactly)},
              {"metadata", Ref("ModelMetadata")},
              {"capabilities", Of({"chat", "completions", "reasoning", "tools", "json"}, schema::Flag())}});
  const Schema spread = schema::OrNull(Object({{"p50", schema::Number()}, {"p95", schema::Number()}}));
  const Schema share{{"type", "number"}, {"minimum", 0}, {"maximum", 1}};
  schemas["ModelStatus"] = Object({{"model", Text()},
                                   {"groups_ready", Count()},
                                   {"uptime", schema::OrNull(share)},
                                   {"numerics_id", schema::TextOrNull()},
                                   {"requests", Object({{"waiting", Count()}, {"running", Count()}})},
                                   {"answers", Count()},
                                   {"first_token_seconds", spread},
                                   {"tokens_per_second", spread}});
  schemas["ModelList"] = Object({{"object", schema::Just("list")}, {"data", schema::List(Ref("Model"))}});
}

}  // namespace quire::gateway
